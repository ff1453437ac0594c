"""What every command shares: a user's mistake is one line, not a traceback."""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from hg_jax.base import config
from hg_jax.base.errors import UserError


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses absl flags; any mistake in them ends the program with one line."""
  try:
    return flags.FLAGS(argv)
  except (flags.Error, OSError, TypeError, ValueError) as error:
    message = str(error)
  except (AttributeError, KeyError) as error:
    # ml_collections' words for a `--config.x` that there is not.
    message = _unknown_setting(argv) or str(error)
  sys.exit('error: ' + ' '.join(message.split()))


def _unknown_setting(argv: Sequence[str]) -> str | None:
  """What to say of the first --config.NAME that is no setting."""
  settings = config.flat(config.Config())
  for argument in argv:
    name = argument.removeprefix('--config.').partition('=')[0]
    if argument.startswith('--config.') and name not in settings:
      near = difflib.get_close_matches(name, settings, 1)
      meant = f'did you mean {near[0]}?' if near else 'see hg_jax/config.py.'
      return f'there is no setting config.{name}; {meant}'
  return None


def cache_compilations() -> None:
  """Keeps what XLA compiles in the user's cache folder, for the next start.

  JAX's own variables, such as JAX_COMPILATION_CACHE_DIR, go before.
  """
  import jax

  if jax.config.jax_compilation_cache_dir is None:
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    jax.config.update(
      'jax_compilation_cache_dir', str(Path(home, 'hg_jax', 'xla'))
    )
    # The least used go when there is more.
    jax.config.update('jax_compilation_cache_max_size', 2 * 1024**3)


def _unraisable(unraisable: Any) -> None:
  """Passes over what tensorstore says to loops that a failed write closed."""
  if str(unraisable.exc_value) != 'Event loop is closed':
    sys.__unraisablehook__(unraisable)


def run(main: Callable[[list[str]], int | None]) -> None:
  """Runs `main` with the positional arguments; returns its exit status."""

  def guarded(argv: list[str]) -> int | None:
    # The libraries report every file they open, and every thread's errors
    # with a traceback before they raise them; our own lines are printed.
    logging.set_verbosity(logging.FATAL)
    sys.unraisablehook = _unraisable
    try:
      return main(argv[1:])
    except UserError as error:
      sys.exit(f'error: {error}')
    except KeyboardInterrupt:
      sys.exit('interrupted')

  app.run(guarded, flags_parser=parse_flags)
