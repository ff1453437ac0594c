"""A trained network as plain files, without orbax and without pickle.

  weights.npz   every array under its path, such as params/stem/conv/kernel
  config.json   the settings and the skeleton that it was trained with

A folder of the two serves wherever a run's folder is asked for its weights:
to predict, evaluate, export or begin from. Two come with the package: 'box'
finds joints, 'finder' finds people.
"""

import io
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hg_jax.base import array_files, files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, cannot_be_read, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.run import run_config

BOX, FINDER = 'box', 'finder'
_FILE = 'weights.npz'
_WEIGHTS = Path(__file__).parents[1] / 'weights'
_IN_THE_BOX = {BOX: _WEIGHTS / 'person128', FINDER: _WEIGHTS / 'people192'}


def folder_of(workdir: str | Path) -> Path:
  """Returns the folder of a run, or of a network in the box under its name."""
  return _IN_THE_BOX.get(str(workdir)) or files.expand_home(workdir)


def is_bundle(folder: Path) -> bool:
  """Whether the folder holds weights in this form."""
  return os.path.lexists(folder / _FILE)


def save(
  folder: Path, config: Config, skeleton: Skeleton, variables: dict[str, Any]
) -> Path:
  """Writes the two files; returns that of the weights.

  Raises:
    UserError: the folder holds a run, or cannot be written.
  """
  if (folder / 'checkpoints').exists():
    raise UserError(f'{folder} holds a run; give another folder.')
  leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
  path = folder / _FILE
  buffer = io.BytesIO()
  np.savez(buffer, **{_name(keys): np.asarray(leaf) for keys, leaf in leaves})
  with system_errors(folder):
    folder.mkdir(parents=True, exist_ok=True)
    files.write(path, buffer.getvalue())
    run_config.save(folder, config, skeleton)
  return path


def load(
  folder: Path,
  like: dict[str, Any],  # shapes and dtypes, as `hourglass.variables_like`
) -> dict[str, Any]:  # the same tree of NumPy arrays
  """Reads the weights of a network.

  Raises:
    UserError: the file is damaged, of another network, or has no numbers.
  """
  path = folder / _FILE
  try:
    arrays = array_files.read_npz(path)
  except OSError as error:
    raise cannot_be_read(path, error) from error
  except ValueError as error:
    raise UserError(
      f'{path} is damaged ({error}); copy or export it anew.'
    ) from error
  leaves, treedef = jax.tree_util.tree_flatten_with_path(like)
  wanted = {_name(keys): leaf.shape for keys, leaf in leaves}
  found = {name: array.shape for name, array in arrays.items()}
  if different := sorted(wanted.items() ^ found.items()):
    raise UserError(
      f'{path} is of another network than its config.json: see '
      f'{different[0][0]}.'
    )
  dtypes = {_name(keys): leaf.dtype for keys, leaf in leaves}
  for name, array in arrays.items():
    if array.dtype.kind == 'f':
      with np.errstate(over='ignore'):  # It is told below.
        arrays[name] = array = array.astype(dtypes[name], copy=False)
    if array.dtype.kind != 'f' or not np.isfinite(array).all():
      raise UserError(
        f'{path} has {name} that is not of finite numbers; export it anew.'
      )
  return jax.tree.unflatten(treedef, [arrays[name] for name in wanted])


def _name(keys: tuple) -> str:
  return '/'.join(key.key for key in keys)
