"""Writes files atomically, and locks a folder for one process."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from hg_jax.base.errors import UserError


def write(path: Path, text: str) -> None:
  """Writes a file that is the old one or the new one, whatever happens."""
  new = path.with_name(f'.{path.name}.new')
  with new.open('w') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  new.replace(path)


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
    reason = error.strerror or str(error)
    raise UserError(
      f'{error.filename or folder}: {reason}; mend that and give the same '
      'command again.'
    ) from error
