"""Finds and loads the files under `configs/`: the user's, and those shipped."""

import dataclasses
import difflib
import traceback
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

from absl import flags
from ml_collections import config_flags

from hg_jax.base.config import Config
from hg_jax.base.errors import UserError


def register_types() -> None:
  """Tells ml_collections how to parse settings whose types have bounds."""
  parsers = {int: flags.IntegerParser(), float: flags.FloatParser()}
  groups = [Config]
  for group in groups:
    for field in dataclasses.fields(group):
      kind, parser = field.type, None
      if dataclasses.is_dataclass(kind):
        groups.append(kind)
      elif get_origin(kind) is Literal:
        parser = flags.ArgumentParser()
      elif get_origin(kind) is Annotated:
        parser = parsers[get_args(kind)[0]]
      if parser:
        config_flags.register_flag_parser_for_type(kind, parser)


def find(name: str) -> Path:
  """Returns the config file that `--config=name` means.

  `name` is the path of a file, or the name of one under `configs/`, such as
  'configs/adam16.py', 'adam16.py' or 'adam16'. The folder `configs/` of the
  current folder comes before the one that is installed with this package.

  Raises:
    UserError: there is no such file; names the shipped ones.
  """
  path = Path(name)
  if path.is_file():
    return path
  is_ours = path.parent in (Path('.'), Path('configs'))
  if path.name and path.suffix in ('', '.py') and is_ours:
    for folder in (Path('configs'), _shipped_folder()):
      file = folder / path.with_suffix('.py').name
      if file.is_file():
        return file
  shipped = sorted(file.stem for file in _shipped_folder().glob('*.py'))
  near = difflib.get_close_matches(path.stem, shipped, 1)
  hint = f'did you mean {near[0]}?' if near else 'give a path or a name:'
  raise UserError(
    f'there is no config file {name!r}; {hint} hg_jax has {", ".join(shipped)}.'
  )


def load(name: str) -> Config:
  """Returns the config of the file that `name` means.

  Raises:
    UserError: there is no such file, it fails, or its `get_config` returns no
      Config; names the file, and the line where there is one.
  """
  path = find(name)
  module = {'__name__': path.stem, '__file__': str(path)}
  try:
    exec(compile(path.read_bytes(), path, 'exec'), module)
    config = module['get_config']() if 'get_config' in module else None
  # The file is the user's code, which can fail in any way, also by exit().
  except (Exception, SystemExit) as error:
    raise UserError(
      f'{path}{_line(path, error)}: {_reason(path, error)}'
    ) from error
  if 'get_config' not in module:
    raise UserError(f'{path} defines no get_config().')
  if not isinstance(config, Config):
    raise UserError(
      f'{path}: get_config() returns {_name(config)}; it must return a Config '
      'of hg_jax.base.config.'
    )
  return config


def _name(value: object) -> str:
  return 'None' if value is None else f'a {type(value).__name__}'


def _line(path: Path, error: BaseException) -> str:
  """Returns ', line 3' for the last line of the file that led to the error."""
  if isinstance(error, SyntaxError) and error.filename == str(path):
    return f', line {error.lineno}' if error.lineno else ''
  frames = traceback.extract_tb(error.__traceback__)
  lines = [frame.lineno for frame in frames if frame.filename == str(path)]
  return f', line {lines[-1]}' if lines else ''


def _reason(path: Path, error: BaseException) -> str:
  if isinstance(error, SyntaxError):
    # It may be in a module that the file imports.
    is_other = error.filename not in (None, str(path))
    return error.msg + (f' ({error.filename}, line {error.lineno})') * is_other
  return f'{type(error).__name__}: {error}'.removesuffix(': ')


def _shipped_folder() -> Path:
  """Returns the folder `configs/` of the installed package or the checkout."""
  package = Path(__file__).parents[1]
  inside = package / 'configs'
  return inside if inside.is_dir() else package.parent / 'configs'
