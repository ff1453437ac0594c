"""config.json: the settings and the skeleton that a run was started with."""

import json
import os
from pathlib import Path
from typing import Any

from hg_jax.annotations import saved_skeleton
from hg_jax.base import config as config_lib
from hg_jax.base import files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, cannot_be_read
from hg_jax.base.skeleton import Skeleton


def save(workdir: Path, config: Config, skeleton: Skeleton) -> None:
  """Writes config.json: the settings, and the skeleton of the joints."""
  fields = json.loads(config_lib.to_json(config))
  fields['skeleton'] = skeleton.to_json()
  files.write(workdir / 'config.json', json.dumps(fields, indent=2) + '\n')


def load(workdir: Path) -> Config:
  """Reads the config that the run in `workdir` was started with.

  Raises:
    UserError: `workdir` holds no run, or one of another version.
  """
  fields = _read_config(workdir)
  fields.pop('skeleton', None)
  try:
    return config_lib.from_values(fields)
  except UserError as error:
    raise UserError(f'{workdir / "config.json"}: {error}') from error


def load_skeleton(workdir: Path) -> Skeleton:
  """The skeleton of the joints that the run in `workdir` finds.

  Raises:
    UserError: there is no run, or its skeleton is damaged.
  """
  try:
    return saved_skeleton.read(_read_config(workdir))
  except ValueError as error:
    raise _damaged(workdir / 'config.json', error) from error


def _read_config(workdir: Path) -> dict[str, Any]:
  path = workdir / 'config.json'
  try:
    fields = files.read_json(path)
    if not isinstance(fields, dict):
      raise ValueError('no settings in it')
  except (FileNotFoundError, NotADirectoryError) as error:
    raise UserError(
      f'{workdir} holds no run: {path} does not exist{_near(workdir)}.'
    ) from error
  except OSError as error:
    raise cannot_be_read(path, error) from error
  except ValueError as error:
    raise _damaged(path, error) from error
  return fields


def _near(workdir: Path) -> str:
  """Says of which run this is a part, such as a checkpoint or its weights."""
  for folder in workdir.absolute().parents[:2]:
    if os.path.lexists(folder / 'config.json'):
      return f'; give {folder}, the folder of the run that it is a part of'
  return ''


def _damaged(path: Path, error: Exception) -> UserError:
  return UserError(
    f'{path} is damaged ({error}); mend it, or remove it and give the '
    'command that trains, which writes it again.'
  )


def require_same_run(workdir: Path, config: Config) -> None:
  """Refuses to resume a run with settings that change its result.

  Datasets may have moved, but not be more or fewer.

  Raises:
    UserError: names the settings that differ, with both values.
  """
  free = set(FREE)
  if config.optimizer.schedule == 'cosine':
    free.remove('steps')  # The rate depends on where it ends.
  _require_same(
    workdir,
    [name for name in config_lib.flat(config) if name not in free],
    config,
  )
  saved = load(workdir).data.dir
  if saved.count(',') != config.data.dir.count(','):
    raise UserError(
      f'{workdir} trains on {saved}, not on {config.data.dir}; give another '
      '--workdir, or the datasets it was started with.'
    )


def require_same_weights(workdir: Path, config: Config) -> None:
  """Refuses to begin with the weights of a network of another width.

  Raises:
    UserError: names the setting with both values.
  """
  _require_same(workdir, ['model.features'], config)


def require_same_joints(workdir: Path, skeleton: Skeleton) -> None:
  """Refuses to use a run on people with other joints, or in another order.

  Raises:
    UserError: names the joints of both.
  """
  saved = load_skeleton(workdir)
  if (saved.joints, saved.flip) != (skeleton.joints, skeleton.flip):
    raise UserError(
      f'{workdir} finds the joints {", ".join(saved.joints)}; the prepared '
      f'people have {", ".join(skeleton.joints)}.'
    )


# Settings that may change when a run goes on or is evaluated.
FREE = {
  'model.remat',
  'model.scan',
  'data.dir',
  'data.resident',  # Its inputs are the same to a gray level.
  'evaluate.batch_size',
  'evaluate.flip_test',
  'evaluate.decoding',
  'evaluate.figures',
  'steps',
  'log_every',
  'checkpoint_every',
  'evaluate_every',
}


def _require_same(workdir: Path, names: list[str], config: Config) -> None:
  saved, given = config_lib.flat(load(workdir)), config_lib.flat(config)
  different = [
    f'{name} = {saved[name]} (now {given[name]})'
    for name in names
    if saved[name] != given[name]
  ]
  if different:
    raise UserError(
      f'{workdir} holds a different run: {"; ".join(different)}; give '
      'another --workdir, or the settings it was started with.'
    )
