"""Finds and loads the files under `configs/`: the user's, and those shipped."""

import difflib
import importlib.util
from pathlib import Path

from hg_jax.base.config import Config
from hg_jax.base.errors import UserError


def find(name: str) -> Path:
  """Returns the config file that `--config=name` means.

  `name` is the path of a file, or the name of one under `configs/`, such as
  'configs/adam16.py', 'adam16.py' or 'adam16'. The folder `configs/` of the
  current folder comes before the one that is installed with this package.

  Raises:
    UserError: there is no such file; names the ones that are shipped.
  """
  path = Path(name)
  if path.is_file():
    return path
  if path.parent in (Path('.'), Path('configs')):
    for folder in (Path('configs'), _shipped_folder()):
      file = folder / path.with_suffix('.py').name
      if file.is_file():
        return file
  shipped = sorted(file.stem for file in _shipped_folder().glob('*.py'))
  near = difflib.get_close_matches(path.stem, shipped, 1)
  hint = f'did you mean {near[0]}?' if near else 'give a path or a name:'
  raise UserError(
    f'there is no config file {name}; {hint} hg_jax has {", ".join(shipped)}.'
  )


def load(name: str) -> Config:
  """Returns what `get_config` of the file that `name` means returns.

  Raises:
    UserError: there is no such file.
  """
  path = find(name)
  spec = importlib.util.spec_from_file_location(f'config_{path.stem}', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config()


def _shipped_folder() -> Path:
  """The folder `configs/`: within an installed package, beside a checkout."""
  package = Path(__file__).parents[1]
  inside = package / 'configs'
  return inside if inside.is_dir() else package.parent / 'configs'
