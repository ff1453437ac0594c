"""What every command shares: a user's mistake is one line, not a traceback."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging


class UserError(Exception):
  """What was wrong, where, and what to do, in one line for the user."""


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses absl flags; any mistake in them ends the program with one line."""
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    message = str(error)
  except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
    # ml_collections lets these escape for an unknown or ill-typed
    # `--config.x`, and for a config file that is not there.
    message = str(error.args[0] if error.args else error)
    if isinstance(error, OSError):
      message = str(error)
  sys.exit('error: ' + ' '.join(message.split()))


def run(main: Callable[[list[str]], int | None]) -> None:
  """Runs `main` with the positional arguments; returns its exit status."""

  def guarded(argv: list[str]) -> int | None:
    # The libraries report every file they open; our own lines are printed.
    logging.set_verbosity(logging.ERROR)
    try:
      return main(argv[1:])
    except UserError as error:
      sys.exit(f'error: {error}')
    except KeyboardInterrupt:
      sys.exit('interrupted')

  app.run(guarded, flags_parser=parse_flags)
