"""Reads the prepared people of `config.data`, of one or several datasets.

Axes: P people, K joints.
"""

import dataclasses
from pathlib import Path

import numpy as np

from hg_jax.annotations.people import concatenate
from hg_jax.base import files
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.input import records
from hg_jax.input.records import Crops


def folders(config: Config) -> list[Path]:
  """Returns the folders of `config.data.dir`, 'a' or 'a,b'.

  Raises:
    UserError: one has no name.
  """
  names = [name.strip() for name in config.data.dir.split(',')]
  if not all(names):
    raise UserError(f'config.data.dir is {config.data.dir!r}: name folders.')
  return [files.expand_home(name) for name in names]


def read(config: Config, split: str) -> Crops:
  """Reads a split of the first dataset.

  Raises:
    UserError: as `records.read`.
  """
  return records.read(
    folders(config)[0], split, skip_corrupt=config.data.skip_corrupt
  )


def read_for(config: Config, split: str, skeleton: Skeleton) -> Crops:
  """Reads a split of the first dataset for a network of these joints.

  Other joints are mapped by name, and `Crops.notes` lists them. The dataset's
  metric remains.

  Raises:
    UserError: as `read`, or the dataset has none of the joints.
  """
  crops = read(config, split)
  found = crops.skeleton
  if (found.joints, found.flip) == (skeleton.joints, skeleton.flip):
    return crops
  note = f'{folders(config)[0]}: {_describe(crops, skeleton)}'
  onto = dataclasses.replace(skeleton, metric=found.metric)
  return dataclasses.replace(_map(crops, onto), notes=(note,))


def read_training(config: Config) -> Crops:
  """Reads the training people of all datasets, with the first's joints.

  `Crops.notes` lists which joints of the other datasets could be mapped.

  Raises:
    UserError: as `records.read`, or a dataset has none of the joints, or
      there are not as many shares as datasets, or a share is too small.
  """
  paths, shares = folders(config), checked_shares(config)
  crops = [
    records.read(path, 'train', skip_corrupt=config.data.skip_corrupt)
    for path in paths
  ]
  if len(paths) == 1:
    return crops[0]
  skeleton = crops[0].skeleton
  notes = [f'{paths[0]}: {len(crops[0]):,} people']
  for path, other in zip(paths[1:], crops[1:], strict=True):
    notes.append(f'{path}: {len(other):,} people; {_describe(other, skeleton)}')
  mapped = [crops[0], *(_map(other, skeleton) for other in crops[1:])]
  return Crops(
    skeleton=skeleton,
    people=concatenate([part.people for part in mapped]),
    encoded=[jpeg for part in mapped for jpeg in part.encoded],
    image_to_crop=np.concatenate([part.image_to_crop for part in mapped]),
    margin=min(part.margin for part in mapped),
    size=max(part.size for part in mapped),
    skipped=tuple(line for part in mapped for line in part.skipped),
    shares=tuple((len(p), s) for p, s in zip(mapped, shares, strict=True))
    if shares
    else (),
    notes=tuple(notes),
  )


def checked_shares(config: Config) -> tuple[float, ...]:
  """Returns the shares of several datasets; none shows everyone as often.

  Raises:
    UserError: there are not as many as datasets, or one is never shown.
  """
  paths, shares = folders(config), config.data.shares
  if len(paths) == 1:
    return ()
  if shares and (len(shares) != len(paths) or min(shares) <= 0):
    raise UserError(
      f'config.data.shares is {shares}: give {len(paths)} numbers above 0, '
      'one for each of config.data.dir.'
    )
  # Of every 1,000 examples each dataset has its share, in whole examples.
  if shares and min(shares) < 0.002 * sum(shares):
    raise UserError(
      f'config.data.shares is {shares}: each must be at least 0.002 of their '
      'sum, or its dataset is hardly ever shown; leave it out.'
    )
  return shares


def _map(crops: Crops, onto: Skeleton) -> Crops:
  """Gives people the joints of another skeleton; missing ones are unknown."""
  indices = skeleton_lib.matches(crops.skeleton, onto)
  index = np.array([0 if k is None else k for k in indices])
  exists = np.array([k is not None for k in indices])
  people = crops.people
  columns = {
    name: getattr(people, name)[:, index] & exists
    for name in ('labeled', 'known', 'visible')
  }
  joints = np.where(exists[:, None], people.joints[:, index], 0)
  return dataclasses.replace(
    crops,
    skeleton=onto,
    people=dataclasses.replace(people, joints=joints, **columns),
  )


def _describe(crops: Crops, onto: Skeleton) -> str:
  """Lists the joints that have the same names; refuses skeletons without."""
  names = crops.skeleton.joints
  indices = skeleton_lib.matches(crops.skeleton, onto)
  pairs = [
    f'{names[k]} = {joint}'
    for k, joint in zip(indices, onto.joints, strict=True)
    if k is not None
  ]
  if not pairs:
    raise UserError(
      f'none of the joints {", ".join(names)} is one of '
      f'{", ".join(onto.joints)}; the datasets of config.data.dir must have '
      'joints in common.'
    )
  lacking = [j for k, j in zip(indices, onto.joints, strict=True) if k is None]
  unused = [name for k, name in enumerate(names) if k not in indices]
  return (
    f'{", ".join(pairs)}; not in it: {", ".join(lacking) or "none"}; not used: '
    f'{", ".join(unused) or "none"}'
  )
