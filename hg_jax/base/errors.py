"""Errors of the user and of the system, which commands tell in one line."""

import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# All that ends a line for a terminal or `str.splitlines`, and escape sequences.
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029]')


class UserError(Exception):
  """Says in one line what was wrong, where, and what to do.

  Control characters, which names of files may hold, are told as in '\\n'.
  """

  def __init__(self, message: str):
    super().__init__(_CONTROL.sub(lambda found: ascii(found[0])[1:-1], message))


def cannot_be_read(path: Path | str, error: OSError) -> UserError:
  """Returns what to raise where the system does not give a file."""
  return UserError(
    f'{path} cannot be read: {error.strerror}; mend that and try again.'
  )


@contextmanager
def as_command() -> Iterator[None]:
  """Ends a command with one line at an error of the system.

  It may be met by a file, or by what is printed while entered.
  """
  # Not every terminal takes every name of a file.
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors='backslashreplace')
  try:
    try:
      yield
    finally:
      _flush()
  except BrokenPipeError:
    # Our reader ended first, as in `... | head`.
    sys.exit(128 + signal.SIGPIPE)
  except OSError as error:
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
