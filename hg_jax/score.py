"""Scores files of predictions, ours or anyone's, on MPII's validation people.

  python -m hg_jax.score PREDICTIONS... --annotations=valid.h5

Predictions are px of the image, of the 2,958 people in standard order:

  .h5, .mat        `preds`, people x 16 x 2 or 2 x 16 x people
  predictions.h5   as evaluation writes it: `joints`, `image`, `image_index`
                   and `person_index`; any of the people, in any order

Axes: P people, n of them in a file, K = 16 joints.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from absl import flags

from hg_jax.base.command import run
from hg_jax.base.errors import UserError
from hg_jax.data import mpii
from hg_jax.data.people import People
from hg_jax.metrics import pckh

FLAGS = flags.FLAGS


def define_flags() -> None:
  flags.DEFINE_string(
    'annotations',
    None,
    'The truth: valid.h5, gt_valid.mat, mpii_annotations.json[.gz] or '
    'mpii_human_pose_v1_u12_1.mat.',
  )
  flags.DEFINE_string(
    'plot', None, 'Picture to write: PCKh over the threshold, a line per file.'
  )
  flags.DEFINE_bool('json', False, 'Print JSON: a list, an object per file.')


_OURS = ('image', 'image_index', 'person_index', 'joints')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
  """The predictions of a file for P annotated people, or for some of them.

  Attributes:
    file: its path, as given.
    joints: f32[P, K, 2], px of the image; NaN of people it does not have.
  """

  file: str
  joints: np.ndarray

  def has(self) -> np.ndarray:  # bool[P]
    return ~np.isnan(self.joints[:, 0, 0])


def main(paths: list[str]) -> None:
  if not paths:
    raise UserError('no file of predictions is given; see --help.')
  if not FLAGS.annotations:
    raise UserError('--annotations is missing; see --help.')
  people = mpii.load_evaluation(FLAGS.annotations)
  files = [load(path, people) for path in paths]
  if FLAGS.plot:
    plot(files, people, Path(FLAGS.plot))
  results = [summarize(file, people) for file in files]
  for file, result in zip(files[1:], results[1:], strict=True):
    result['difference'] = difference(files[0], file, people)
  print(
    json.dumps(results, indent=2)
    if FLAGS.json
    else report(results, len(people))
  )


def _scores(
  file: Predictions,
  people: People,
  of: np.ndarray,  # bool[P], n people
) -> tuple[pckh.Counts, dict[str, np.ndarray]]:
  """The counts, and the influences f64[n], of some people."""
  joints, truth = file.joints[of], people[of]
  return (
    pckh.count(
      joints, truth.joints, truth.labeled, truth.visible, truth.reference
    ),
    pckh.influences(joints, truth.joints, truth.labeled, truth.reference),
  )


def summarize(file: Predictions, people: People) -> dict:
  """Returns all numbers of a file, in percent; see `pckh.summarize`."""
  counts, influences = _scores(file, people, file.has())
  return {
    'file': file.file,
    'people': int(file.has().sum()),
    **pckh.summarize(counts),
    'standard_error': pckh.standard_errors(influences),
  }


def difference(first: Predictions, second: Predictions, people: People) -> dict:
  """`second` minus `first`, points of PCKh@0.5, on the people both have.

  The standard error is that of the paired difference.

  Raises:
    UserError: they have nobody in common.
  """
  common = first.has() & second.has()
  if not common.any():
    raise UserError(f'{first.file} and {second.file} have nobody in common.')
  counts, moves = zip(
    *(_scores(file, people, common) for file in (first, second)), strict=True
  )
  before, after = (pckh.at(pckh.TOTALS, each) for each in counts)
  return {
    'from': first.file,
    'people': int(common.sum()),
    'totals': {
      name: None if value is None else round(value - before[name], 4)
      for name, value in after.items()
    },
    'standard_error': pckh.standard_errors(
      {name: moves[1][name] - moves[0][name] for name in pckh.TOTALS}
    ),
  }


def load(path: str | Path, people: People) -> Predictions:
  """Reads a file of predictions for `people`, or for some of them.

  Raises:
    UserError: there is no such file, it is damaged, of another form or of
      other people, or a prediction is not a number.
  """
  path = Path(path)
  columns = _read(path)
  if 'preds' in columns:
    rows, given = np.arange(len(people)), columns['preds']
    if given.shape == (2, mpii.NUM_JOINTS, len(people)):
      given = given.T
  elif columns.keys() >= set(_OURS):
    rows, given = _rows(columns, people, path), columns['joints']
  else:
    raise UserError(
      f'{path} has neither `preds` nor `joints`, `image`, `image_index` and '
      '`person_index`: it is not a file of predictions.'
    )
  if given.shape != (shape := (len(rows), mpii.NUM_JOINTS, 2)):
    raise UserError(
      f'{path} has joints of shape {given.shape}; for {len(rows):,} people '
      f'it must be {shape} or {shape[::-1]}.'
    )
  if given.dtype.kind not in 'fiu':
    raise UserError(f'{path} has predictions that are not numbers.')
  if (bad := ~np.isfinite(given).all(axis=-1)).any():
    row, joint = np.argwhere(bad)[0]
    x, y = given[row, joint]
    raise UserError(
      f'{path} has {mpii.SKELETON.joints[joint]} of person {rows[row]} '
      f'({people.image[rows[row]]}) at ({x:g}, {y:g}); every joint of every '
      'person needs a position.'
    )
  joints = np.full((len(people), *shape[1:]), np.nan, np.float32)
  joints[rows] = given
  return Predictions(file=str(path), joints=joints)


def _read(path: Path) -> dict[str, np.ndarray]:
  """Reads the columns that the file has of those of the two forms."""
  if not path.is_file():
    raise UserError(f'there is no file {path}.')
  try:
    if not h5py.is_hdf5(path):
      return scipy.io.loadmat(path, variable_names=['preds'])
    with h5py.File(path) as file:  # MATLAB's -v7.3 files too
      names = {'preds', *_OURS} & file.keys()
      return {name: np.asarray(file[name][()]) for name in names}
  except mpii.UNREADABLE as error:
    reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
    raise UserError(
      f'{path} is damaged or neither .h5 nor .mat ({reason}).'
    ) from error


def _rows(
  columns: dict[str, np.ndarray], people: People, path: Path
) -> np.ndarray:  # i[n], rows of `people`
  """Finds the people of our form."""
  row_of = {person: row for row, person in enumerate(_persons(vars(people)))}
  persons = _persons(columns)
  if not persons:
    raise UserError(f'{path} has no people.')
  for person, times in Counter(persons).items():
    name = f'{person[0]} (image {person[1]}, person {person[2]})'
    if person not in row_of:
      raise UserError(
        f'{path} has {name}, who is not among the {len(people):,} validation '
        'people.'
      )
    if times > 1:
      raise UserError(f'{path} has {name} more than once.')
  return np.array([row_of[person] for person in persons])


def _persons(columns: Mapping[str, np.ndarray]) -> list[tuple[str, int, int]]:
  """Who each row is: datasets count their images alike, so also by name."""
  image, *indices = (np.ravel(columns[name]) for name in _OURS[:3])
  names = image.astype(str).tolist()
  return list(zip(names, *(i.tolist() for i in indices), strict=False))


def report(
  results: Sequence[dict],  # of `summarize`
  num_people: int,  # of the annotations
) -> str:
  """Formats the tables of every file for a terminal."""
  blocks = []
  for result in results:
    part = result['people']
    whole = '' if part == num_people else f' of {num_people:,}'
    blocks.append(
      f'{result["file"]}: {part:,}{whole} people, percent of labeled joints\n\n'
      + pckh.table(result)
    )
  for result in results[1:]:
    change = result['difference']
    title = (
      f'{result["file"]}\nminus {change["from"]}: points, on the '
      f'{change["people"]:,} people of both'
    )
    totals = pckh.grid({'PCKh@0.5': change['totals']}, '+.2f')
    errors = pckh.grid({'  std. error': change['standard_error']})
    blocks.append('\n'.join([title, '', *totals, *errors[1:]]))
  conventions = (f'{name:12} {t.source}' for name, t in pckh.TOTALS.items())
  return '\n\n'.join([*blocks, '\n'.join(conventions)])


def plot(files: Sequence[Predictions], people: People, path: Path) -> None:
  """Draws PCKh over the threshold: `standard`, and each group of joints.

  Raises:
    UserError: the picture cannot be written.
  """
  from hg_jax.pictures import plots  # Matplotlib is slow to import.

  counts = {
    f'{file.file} ({file.has().sum():,} people)': _scores(
      file, people, file.has()
    )[0]
    for file in files
  }
  panels = {'All 14 joints (standard)': pckh.TOTALS['standard'], **pckh.GROUPS}
  figure = plots.over_thresholds(
    pckh.THRESHOLDS,
    {
      title: {name: total.percent(each) for name, each in counts.items()}
      for title, total in panels.items()
    },
    title='PCKh on the MPII validation people',
  )
  try:
    figure.savefig(path, dpi=150)
  except (OSError, ValueError) as error:
    raise UserError(f'cannot write the picture {path}: {error}') from error


if __name__ == '__main__':
  define_flags()
  run(main)
