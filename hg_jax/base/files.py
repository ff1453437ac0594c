"""Opens and writes files, locks a folder, parses JSON; system errors."""

import gzip
import json
import os
import signal
import socket
import sys
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
    UserError: no such home is known, and no file has such a name.
  """
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


def write(path: Path, text: str) -> None:
  """Writes a file that is the old one or the new one, whatever happens."""
  new = path.with_name(f'.{path.name}.new')
  try:
    with new.open('w') as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    new.replace(path)
  except OSError as error:
    error.filename = str(path)  # A full disk does not say of which.
    raise


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


@contextmanager
def locked(folder: Path) -> Iterator[None]:
  """Keeps other processes from training in this folder while entered.

  The system frees the lock of a process that dies.

  Raises:
    UserError: another process holds the lock; says which.
  """
  holder = folder / 'lock.holder'
  try:
    lock = filelock.FileLock(folder / 'lock').acquire(blocking=False)
  except filelock.Timeout as error:
    raise UserError(
      f'{folder} is in use by {holder.read_text()}; wait for it, or give '
      'another --workdir.'
    ) from error
  with lock:
    write(holder, f'process {os.getpid()} on {socket.gethostname()}')
    yield


@contextmanager
def commanded() -> Iterator[None]:
  """Ends a command with one line at an error of the system.

  It may be met by a file, or by what is printed while entered.
  """
  # None where they are closed, as by `... >&-`.
  sys.stdout = sys.stdout or open(os.devnull, 'w')
  sys.stderr = sys.stderr or open(os.devnull, 'w')
  try:
    try:
      yield
    finally:
      _flush()
  except BrokenPipeError:
    # Our reader ended first, as in `... | head`.
    sys.exit(128 + signal.SIGPIPE)
  except OSError as error:
    if not error.strerror:
      raise
    sys.exit(f'error: {_of_system(error, "the output, or a file")}')


def _flush() -> None:
  try:
    sys.stdout.flush()
  except OSError:
    # Python would try again at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise


def _of_system(error: OSError, place: Path | str) -> str:
  reason = error.strerror or ' '.join(str(error).split())
  return (
    f'{error.filename or place}: {reason}; mend that and give the same command '
    'again.'
  )


@contextmanager
def system_errors(folder: Path) -> Iterator[None]:
  """Raises a UserError for an error of the system, such as a full disk.

  Args:
    folder: to be named if the system does not name a file.
  """
  try:
    yield
  except BrokenPipeError:
    raise  # Nobody reads our lines any more.
  except OSError as error:
    raise UserError(_of_system(error, folder)) from error
