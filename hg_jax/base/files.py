"""Opens and writes files, parses JSON, and locks a folder for one process."""

import gzip
import json
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import filelock

from hg_jax.base.errors import UserError


def expand_home(path: str | Path) -> Path:
  """Puts the user's home in the place of ~, and ann's in that of ~ann.

  Raises:
    UserError: no such home is known, and no file has such a name; or no file
      can have it.
  """
  if '\0' in os.fspath(path):
    raise UserError(
      f'{os.fspath(path)!r} is no path, for it has a NUL character; give it '
      'without.'
    )
  expanded = os.path.expanduser(path)
  if expanded.startswith('~') and not os.path.lexists(path):
    user = Path(path).parts[0]
    raise UserError(
      f'{path} begins with {user}, and no home is known for it; give the whole '
      f'path, or ./{path} for a file of this name.'
    )
  return Path(expanded)


def open_to_read(path: Path) -> BinaryIO:
  """Opens a file; a pipe that nobody writes to is empty, and does not wait."""
  file = open(path, 'rb', opener=_open_at_once)
  os.set_blocking(file.fileno(), True)
  return file


def _open_at_once(path: str, flags: int) -> int:
  return os.open(path, flags | os.O_NONBLOCK)


def write(
  path: Path, contents: str | bytes, *, survives_power_loss: bool = True
) -> None:
  """Writes a file that is the old one or the new one, whatever happens.

  Links are followed. What is no file, such as /dev/stdout, is written to.

  Args:
    path: the file.
    contents: of it.
    survives_power_loss: wait until the disk has it, some milliseconds.
  """
  if isinstance(contents, str):
    contents = contents.encode(errors='surrogateescape')
  try:
    if path.exists() and not path.is_file():
      path.write_bytes(contents)
      return
    target = Path(os.path.realpath(path))
    new = target.with_name(f'.{target.name}.new')
    _replace(target, contents, new, sync=survives_power_loss)
  except OSError as error:
    error.filename = str(path)  # A full disk does not say of which.
    raise


def _replace(path: Path, contents: bytes, new: Path, *, sync: bool) -> None:
  try:
    with new.open('wb') as file:
      file.write(contents)
      file.flush()
      if sync:
        os.fsync(file.fileno())
    new.replace(path)
  except BaseException:
    new.unlink(missing_ok=True)
    raise


def read_json(
  path: Path, *, object_hook: Callable[[dict], Any] | None = None
) -> Any:
  """Reads a file as `open_to_read` opens it and `parse_json` parses it."""
  with open_to_read(path) as file:
    return parse_json(file.read(), object_hook=object_hook)


def parse_json(
  data: bytes, *, object_hook: Callable[[dict], Any] | None = None
) -> Any:
  """Parses JSON in any of Unicode's encodings, also compressed by gzip.

  Raises:
    ValueError: it is damaged, or no JSON.
  """
  try:
    if data.startswith(b'\x1f\x8b'):
      data = gzip.decompress(data)
    return json.loads(data, object_hook=object_hook)
  except RecursionError as error:
    raise ValueError('it is nested too deeply') from error
  except (EOFError, OSError, zlib.error) as error:
    raise ValueError(f'its compression is damaged: {error}') from error


def _holder(path: Path) -> str:
  """What a holder wrote of itself, in a line."""
  try:
    with open_to_read(path) as file:
      text = file.read(200).decode(errors='backslashreplace')
  except OSError:
    text = ''
  return ' '.join(text.split()) or 'another process'


@contextmanager
def locked(folder: Path, *, flag: str) -> Iterator[None]:
  """Keeps other processes from writing into this folder while entered.

  The system frees the lock of a process that dies.

  Args:
    folder: one that exists.
    flag: the flag that names it, for the message.

  Raises:
    UserError: another process holds the lock; says which.
  """
  holder = folder / 'lock.holder'
  try:
    lock = filelock.FileLock(folder / 'lock').acquire(blocking=False)
  except filelock.Timeout as error:
    raise UserError(
      f'{folder} is in use by {_holder(holder)}; wait for it, or give '
      f'another {flag}.'
    ) from error
  with lock:
    write(holder, f'process {os.getpid()} on {socket.gethostname()}')
    yield
