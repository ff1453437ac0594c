"""A run's folder: files that are whole, and one process that writes them."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hg_jax.base.errors import UserError


def write(path: Path, text: str) -> None:
  """Writes a file that, whatever happens, is the old one or the new one."""
  new = path.with_name(f'.{path.name}.new')
  with new.open('w') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  new.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
  """Keeps other processes from training in this folder, until it ends.

  The system frees the lock of a process that dies.

  Raises:
    UserError: another one holds it, and which.
  """
  with (folder / 'lock').open('a+') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      raise UserError(
        f'{folder} is in use by {file.read()}; wait for it, or give another '
        '--workdir.'
      ) from None
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    yield
