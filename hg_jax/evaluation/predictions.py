"""Writes predictions.h5, and reads files of predictions, ours and others'.

  predictions.h5   `joints`, `image`, `image_index` and `person_index` of any of
                   the people, in any order; `score` of the joints
  .h5, .mat        `preds`, people x K x 2 or 2 x K x people, of all people

Axes: P people, n of them in a file, K joints.
"""

import dataclasses
import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from hg_jax.annotations.people import FARTHEST, People
from hg_jax.base import array_files, files
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton

_OURS = ('image', 'image_index', 'person_index', 'joints')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
  """A file's predictions for some or all of P annotated people.

  Attributes:
    file: its path, as given.
    joints: f32[P, K, 2], px of the image; NaN for people it does not have.
    score: f32[P, K]; 1 if the file has no scores.
  """

  file: str
  joints: np.ndarray
  score: np.ndarray

  def has(self) -> np.ndarray:  # bool[P]
    return ~np.isnan(self.joints[:, 0, 0])

  def only(self, people: np.ndarray) -> 'Predictions':  # of bool[P]
    joints = np.where(people[:, None, None], self.joints, np.nan)
    return dataclasses.replace(self, joints=joints)


def write(
  path: Path,
  people: People,
  joints: np.ndarray,  # f32[P, K, 2] px of the images
  score: np.ndarray,  # f32[P, K]
) -> None:
  """Writes predictions.h5, a row per person."""
  buffer = io.BytesIO()
  with h5py.File(buffer, 'w') as file:
    file['joints'] = joints
    file['score'] = score
    file['image_index'] = people.image_index
    file['person_index'] = people.person_index
    file['image'] = [
      name.encode(errors='surrogateescape') for name in people.image
    ]
  files.write(path, buffer.getvalue())


def load(path: str | Path, people: People, skeleton: Skeleton) -> Predictions:
  """Reads a file of predictions for some or all of the people.

  Raises:
    UserError: the file is missing, damaged, of another form or of other
      people, or a prediction is not a number.
  """
  path, names = Path(path), skeleton.joints
  columns = _read(path)
  if 'preds' in columns:
    rows, given = np.arange(len(people)), columns['preds']
  elif columns.keys() >= set(_OURS):
    rows, given = _rows(columns, people, path), columns['joints']
  else:
    raise UserError(
      f'{path} has neither `preds` nor `joints`, `image`, `image_index` and '
      '`person_index`: it is not a file of predictions.'
    )
  shape = (len(rows), len(names))
  given = _numbers(path, 'joints', given, (*shape, 2))
  near = (np.abs(given) < FARTHEST).all(axis=-1)  # False for NaN
  if not near.all():
    row, joint = np.argwhere(~near)[0]
    x, y = given[row, joint]
    raise UserError(
      f'{path} has {names[joint]} of person {rows[row]} '
      f'({people.image[rows[row]]}) at ({x:g}, {y:g}); every joint of every '
      'person needs a position in px of the image.'
    )
  joints = np.full((len(people), len(names), 2), np.nan, np.float32)
  joints[rows] = given
  score = np.ones(joints.shape[:2], np.float32)
  if 'score' in columns:
    score[rows] = _numbers(path, 'score', columns['score'], shape)
    if not np.isfinite(score).all():
      raise UserError(f'{path} has a `score` that is not a number.')
  return Predictions(file=str(path), joints=joints, score=score)


def _numbers(
  path: Path, name: str, given: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
  """Returns numbers of this shape, or of its reverse as MATLAB writes it."""
  array = given if given.shape == shape else given.T
  if array.shape != shape or array.dtype.kind not in 'fiu':
    raise UserError(
      f'{path} has {name} of shape {given.shape} and type {given.dtype}; for '
      f'{shape[0]:,} people they must be numbers of shape {shape} or '
      f'{shape[::-1]}.'
    )
  return array


def _read(path: Path) -> dict[str, np.ndarray]:
  """Reads the columns of either form that the file has."""
  if not path.is_file():
    raise UserError(f'there is no file {path}.')
  with array_files.reading(path, 'It must be .h5 or .mat.'):
    if not h5py.is_hdf5(path):
      return array_files.read_mat(path, ['preds'])
    with h5py.File(path) as file:  # also reads MATLAB's -v7.3 files
      names = {'preds', 'score', *_OURS} & file.keys()
      return {name: np.asarray(file[name][()]) for name in names}


def _rows(
  columns: dict[str, np.ndarray], people: People, path: Path
) -> np.ndarray:  # i[n], rows of `people`
  """Finds the people of a predictions.h5."""
  row_of = {person: row for row, person in enumerate(_persons(vars(people)))}
  persons = _persons(columns)
  if not persons:
    raise UserError(f'{path} has no people.')
  for person, times in Counter(persons).items():
    name = f'{person[0]} (image {person[1]}, person {person[2]})'
    if person not in row_of:
      raise UserError(
        f'{path} has {name}, who is not among the {len(people):,} annotated '
        'people.'
      )
    if times > 1:
      raise UserError(f'{path} has {name} more than once.')
  return np.array([row_of[person] for person in persons])


def _persons(columns: Mapping[str, np.ndarray]) -> list[tuple[str, int, int]]:
  """Returns name and indices: indices alone are alike in other datasets."""
  image, *indices = (np.ravel(columns[name]) for name in _OURS[:3])
  names = [
    name.decode(errors='surrogateescape') if isinstance(name, bytes) else name
    for name in image.tolist()
  ]
  return list(zip(names, *(i.tolist() for i in indices), strict=False))
