"""Reads prepared people into memory: their crops and their annotations.

`person_crops.write` writes TFRecords with the crops as JPEGs, and an index of
every column and of each JPEG's file and place. With the index NumPy alone reads
a split, once, at the speed of the disk; all of MPII takes about 1.2 GB.

Axes: P people.
"""

import dataclasses
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hg_jax.annotations import saved_skeleton
from hg_jax.annotations.people import People
from hg_jax.base import array_files, files
from hg_jax.base.errors import UserError, cannot_be_read
from hg_jax.base.skeleton import Skeleton

# What tensorflow-datasets calls version 1.0.0 of `person_crops.PersonCrops`.
FOLDER = Path('person_crops', '1.0.0')
INDEX = 'index.npz'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crops:
  """The prepared people of a split.

  Attributes:
    skeleton: of their joints.
    people: the P rows.
    encoded: a JPEG per person, u8[its length].
    image_to_crop: f64[P, 3, 3], px of the image to px of the decoded JPEG.
    margin: the crop's side over the person's.
    size: side of the largest crop, px.
    skipped: a line on each person left out for a corrupt crop.
    shares: the number of people and the share of the examples of each of
      several datasets; empty if everyone is shown equally often.
    notes: lines on the datasets that the people come from.
  """

  skeleton: Skeleton
  people: People
  encoded: list[np.ndarray]
  image_to_crop: np.ndarray
  margin: float
  size: int
  skipped: tuple[str, ...] = ()
  shares: tuple[tuple[int, float], ...] = ()
  notes: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(self.people)

  def decode(self, row: int) -> np.ndarray:  # u8[S, S, 3], blue, green, red
    """Decodes the crop of a person.

    Raises:
      UserError: it cannot be decoded.
    """
    try:
      crop = cv2.imdecode(self.encoded[row], cv2.IMREAD_COLOR)
    except cv2.error:
      crop = None  # OpenCV raises on no bytes and returns None on others.
    if crop is None:
      raise UserError(_corrupt(self.people, row))
    return crop


def prepared(data_dir: Path) -> bool:
  """Returns whether `data_dir` holds a complete set of records."""
  return (data_dir / FOLDER / INDEX).exists()


def source(data_dir: Path) -> dict[str, Any]:
  """Reads the `source` of `person_crops.write`, and the records' skeleton.

  Raises:
    UserError: it cannot be read.
  """
  path = data_dir / FOLDER / 'metadata.json'
  try:
    fields = files.read_json(path)
    saved_skeleton.read(fields)
    if not {'size', 'margin'} <= set(fields):
      raise ValueError('it lacks size or margin')
  except (OSError, TypeError, ValueError) as error:
    raise _unreadable(path, data_dir, error) from error
  return fields


def read_skeleton(data_dir: Path) -> Skeleton:
  """Reads the skeleton of the records in `data_dir`.

  Raises:
    UserError: nothing was prepared there.
  """
  _require_prepared(data_dir)
  return saved_skeleton.read(source(data_dir))


def read(data_dir: Path, split: str, *, skip_corrupt: bool = False) -> Crops:
  """Reads a split, in the order of the annotations, into memory.

  Args:
    data_dir: where `person_crops.write` wrote.
    split: 'train', 'valid' or 'test'.
    skip_corrupt: leave out people whose crop is corrupt, and list them in
      `Crops.skipped`, instead of raising.

  Raises:
    UserError: nothing was prepared there, or not this split, or a crop is
      corrupt.
  """
  columns = _read_split(data_dir, split)
  metadata = source(data_dir)
  encoded, people = _encoded(data_dir, columns), _people(columns)
  good = np.array(
    [zlib.crc32(e) == c for e, c in zip(encoded, columns['crc32'], strict=True)]
  )
  corrupt = [_corrupt(people, row) for row in np.flatnonzero(~good)]
  if corrupt and not skip_corrupt:
    raise UserError(
      f'{corrupt[0]} {len(corrupt)} of {len(people)} are; delete {data_dir} '
      'and prepare it again, or set --config.data.skip_corrupt.'
    )
  return Crops(
    skeleton=saved_skeleton.read(metadata),
    people=people[good],
    encoded=[encoded[row] for row in np.flatnonzero(good)],
    image_to_crop=columns['image_to_crop'][good],
    margin=metadata['margin'],
    size=metadata['size'],
    skipped=tuple(corrupt),
  )


def read_people(data_dir: Path, split: str) -> People:
  """Reads the people of a split without their pictures.

  Raises:
    UserError: nothing was prepared there, or not this split.
  """
  return _people(_read_split(data_dir, split))


def counts(data_dir: Path) -> dict[str, int]:
  """Returns how many people each split has.

  Raises:
    UserError: nothing was prepared there.
  """
  splits = _read_index(data_dir)['split']
  names, people = np.unique(splits, return_counts=True)
  return dict(zip(names.tolist(), people.tolist(), strict=True))


def _read_split(data_dir: Path, split: str) -> dict[str, np.ndarray]:
  """Reads the columns of a split, in the order of the annotations."""
  columns = _read_index(data_dir)
  rows = np.flatnonzero(columns['split'] == split)
  if not len(rows):
    raise UserError(
      f'{data_dir} has no split {split!r}; it has '
      f'{", ".join(np.unique(columns["split"]))}.'
    )
  rows = rows[np.argsort(columns['row'][rows], kind='stable')]
  return {name: column[rows] for name, column in columns.items()}


def _people(columns: dict[str, np.ndarray]) -> People:
  return People(
    **{field.name: columns[field.name] for field in dataclasses.fields(People)}
  )


def _require_prepared(data_dir: Path) -> None:
  if not prepared(data_dir):
    raise UserError(
      f'{data_dir} holds no prepared people; run `python -m hg_jax.prepare '
      f'--images=DIR --annotations=FILE --data_dir={data_dir}`.'
    )


def _unreadable(path: Path, data_dir: Path, error: Exception) -> UserError:
  if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
    return cannot_be_read(path, error)
  reason = getattr(error, 'strerror', None) or repr(error)
  return UserError(
    f'{path} is damaged ({reason:.200}); delete {data_dir} and prepare it '
    'again.'
  )


def _read_index(data_dir: Path) -> dict[str, np.ndarray]:
  """Reads the columns of all splits, P rows each."""
  joints = len(read_skeleton(data_dir).joints)
  path = data_dir / FOLDER / INDEX
  try:
    columns = array_files.read_npz(path)
    if 'head_size' in columns:  # Written when only MPII could be prepared.
      columns['reference'] = columns.pop('head_size')
      columns['known'] = np.ones_like(columns['labeled'])
    names = {field.name for field in dataclasses.fields(People)}
    if lacking := (names | {'span'}) - columns.keys():
      raise ValueError(f'it lacks {", ".join(sorted(lacking))}')
    if columns['labeled'].shape[1:] != (joints,):
      raise ValueError(f'metadata.json has {joints} joints, it has others')
  except (OSError, ValueError) as error:
    raise _unreadable(path, data_dir, error) from error
  return columns


def _encoded(
  data_dir: Path, columns: dict[str, np.ndarray]
) -> list[np.ndarray]:  # P of u8[...]
  """Reads the files of JPEGs; returns a view of each JPEG."""
  shards = {}
  for name in np.unique(columns['shard']):
    path = data_dir / FOLDER / name
    try:
      shards[name] = np.fromfile(path, np.uint8)
    except OSError as error:
      raise _unreadable(path, data_dir, error) from error
  return [
    shards[name][start:stop]
    for name, (start, stop) in zip(
      columns['shard'], columns['span'], strict=True
    )
  ]


def _corrupt(people: People, row: int) -> str:
  return (
    f'the prepared crop of person {people.person_index[row]} of '
    f'{people.image[row]} is corrupt.'
  )
