"""Runs a command: reads its flags, and prints a user's mistake as one line."""

import contextlib
import difflib
import math
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from hg_jax.base import config as config_lib
from hg_jax.base import config_files, files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, as_command


def define_config(help_text: str) -> None:
  """Defines --config=NAME and --config.SETTING=VALUE, for `given_config`."""
  config_files.register_types()
  # Without --config=NAME, defining it already reads the settings.
  with _one_line(sys.argv):
    config_flags.DEFINE_config_dataclass(
      'config', Config(), help_text, parse_fn=config_files.load
    )
  # So that --help, which lists the command's own flags, has it.
  flag = flags.FLAGS['config']
  flag.default_as_str = 'none'
  flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def given_config() -> Config | None:
  """Returns the config that the flags describe, or None without --config.

  Raises:
    UserError: a setting has a value that is not allowed.
  """
  if not flags.FLAGS['config'].present:
    return None
  config_lib.check(flags.FLAGS.config)
  return flags.FLAGS.config


def config_name() -> str:
  """Returns 'adam16' for --config=configs/adam16.py."""
  return Path(config_flags.get_config_filename(flags.FLAGS['config'])).stem


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses absl flags; any mistake in them ends the program with one line.

  A value that begins with ~ is a path in the user's home: shells leave it as
  it is in --flag=~/folder and within quotes.
  """
  with _one_line(argv):
    arguments = flags.FLAGS([_expand_home(argument) for argument in argv])
    _require_finite()
    return arguments


def _require_finite() -> None:
  """Refuses NaN and infinity, with which no number compares as it should."""
  for name in flags.FLAGS:
    value = flags.FLAGS[name].value
    if '.' in name or not isinstance(value, float):
      continue  # `config_lib.check` knows more of the settings.
    if not math.isfinite(value):
      raise UserError(f'--{name} is {value}; it must be a finite number.')


def _expand_home(argument: str) -> str:
  """'--flag=~/a,~/b' with the user's home in place of each ~."""
  flag, equals, value = argument.partition('=')
  if not argument.startswith('-'):
    return _home_in(argument)
  return flag + equals + ','.join(map(_home_in, value.split(',')))


def _home_in(path: str) -> str:
  return str(files.expand_home(path)) if path.startswith('~') else path


@contextlib.contextmanager
def _one_line(argv: Sequence[str]) -> Iterator[None]:
  """Ends the program with one line at a mistake in the flags."""
  try:
    yield
    return
  except OSError as error:
    if not error.filename:
      raise  # Of --help, which is printed while the flags are read.
    message = str(error)
  except (UserError, flags.Error, TypeError, ValueError) as error:
    message = str(error)
  except (AttributeError, KeyError) as error:
    # ml_collections raises them for a `--config.x` that is no setting.
    message = _unknown_setting(argv) or str(error)
  sys.exit('error: ' + ' '.join(message.split()))


def _unknown_setting(argv: Sequence[str]) -> str | None:
  """Returns what to say of the first --config.NAME that is no setting."""
  settings = config_lib.flat(Config())
  for argument in argv:
    name = argument.removeprefix('--config.').partition('=')[0]
    if argument.startswith('--config.') and name not in settings:
      near = difflib.get_close_matches(name, settings, 1)
      hint = f'did you mean {near[0]}?' if near else 'see base/config.py.'
      return f'there is no setting config.{name}; {hint}'
  return None


def cache_compilations() -> None:
  """Keeps what XLA compiles in the user's cache folder, for the next start.

  JAX's own variables, such as JAX_COMPILATION_CACHE_DIR, take precedence.
  """
  import jax

  if jax.config.jax_compilation_cache_dir is not None:
    return
  try:
    home = Path(os.environ.get('XDG_CACHE_HOME', ''))
    if not home.is_absolute():  # The standard has it that it is ignored then.
      home = Path.home() / '.cache'
    folder = home / 'hg_jax' / 'xla'
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
  except (OSError, RuntimeError) as error:  # No folder, or no home.
    print(
      f'warning: every start compiles anew, as the cache cannot be kept: '
      f'{error} XDG_CACHE_HOME may name another folder.',
      file=sys.stderr,
    )
    return
  jax.config.update('jax_compilation_cache_dir', str(folder))
  # Above this size JAX deletes the least recently used.
  jax.config.update('jax_compilation_cache_max_size', 2 * 1024**3)


def _no_device() -> str | None:
  """Returns what to say if JAX finds no device; None if it finds one."""
  import jax

  try:
    jax.devices()
  except (AssertionError, RuntimeError) as error:
    reason = ' '.join(str(error).split())[:200] or 'it found none'
    asked = {k: v for k, v in os.environ.items() if k.startswith('JAX_')}
    asked = ', '.join(f'{k}={v!r}' for k, v in asked.items())
    return (
      f'JAX cannot use the devices of {asked or "this machine"}: {reason}; '
      'unset what is set for a CPU. NVIDIA GPUs need '
      '`pip install hg-jax[cuda12]`.'
    )
  return None


def _too_little_memory(error: BaseException) -> str | None:
  """Returns what to say if the host or a device has no memory left."""
  reason = ' '.join(str(error).split())
  if not isinstance(error, MemoryError) and 'RESOURCE_EXHAUSTED' not in reason:
    return None
  told = f' ({reason[:200]})' if reason else ''
  return (
    f'there is too little memory{told}; give a smaller batch or smaller '
    'settings.'
  )


def run(main: Callable[[list[str]], int | None]) -> None:
  """Runs `main` with the positional arguments; returns its exit status."""

  def guarded(argv: list[str]) -> int | None:
    # Orbax logs every file it opens, and errors with a traceback before it
    # raises them; our own lines are printed, not logged.
    logging.set_verbosity(logging.FATAL)
    # Orbax leaves some when there are too many open files.
    warnings.filterwarnings('ignore', 'coroutine .* was never awaited')
    try:
      return main(argv[1:])
    except UserError as error:
      sys.exit(f'error: {error}')
    except (AssertionError, MemoryError, RuntimeError) as error:
      if not (problem := _too_little_memory(error) or _no_device()):
        raise
      sys.exit(f'error: {problem}')

  before = threading.enumerate()
  try:
    with as_command():
      app.run(guarded, flags_parser=parse_flags)
  except SystemExit as end:
    if isinstance(end.code, str):
      _leave_threads(end.code, before)
    raise


def _leave_threads(line: str, before: list[threading.Thread]) -> None:
  """Ends with this line, if threads run that Python would wait for.

  Orbax's wait for minutes for what an error has prevented.
  """
  begun = set(threading.enumerate()).difference(before)
  if all(thread.daemon for thread in begun):
    return
  with contextlib.suppress(OSError):  # The terminal may be closed.
    os.write(2, f'{line}\n'.encode(errors='backslashreplace'))
  os._exit(1)
