"""Scores files of predictions, ours or anyone's, on MPII's validation people.

  python -m hg_jax.score PREDICTIONS... --annotations=valid.h5

Predictions are px of the image, of the 2,958 people in standard order:

  .h5, .mat        `preds`, people x 16 x 2 or 2 x 16 x people
  predictions.h5   as evaluation writes it: `joints`, `image`, `image_index`
                   and `person_index`; any of the people, in any order

Axes: P people, n of them in a file, K = 16 joints.
"""

import dataclasses
import itertools
import json
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
  flags.DEFINE_bool('json', False, 'Print JSON: a list, an object a file.')


_OURS = {'joints', 'image', 'image_index', 'person_index'}
# Okabe and Ito's colors; with the line styles, lines stay apart in gray.
_COLORS = ('#000000', '#0072B2', '#D55E00', '#009E73', '#CC79A7')
_STYLES = ('-', (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
  """A file of predictions beside the truth.

  Attributes:
    file: its path, as given.
    rows: i[n], the people it has: rows of the standard order, rising.
    predictions: f32[n, K, 2], px of the image.
    people: the truth of these people.
  """

  file: str
  rows: np.ndarray
  predictions: np.ndarray
  people: People

  def __getitem__(self, part) -> 'Scored':
    """Some of its people."""
    return Scored(
      file=self.file,
      rows=self.rows[part],
      predictions=self.predictions[part],
      people=self.people[part],
    )

  def counts(self) -> pckh.Counts:
    truth = self.people
    return pckh.count(
      self.predictions,
      truth.joints,
      truth.labeled,
      truth.visible,
      truth.head_size,
    )

  def resamples(self) -> dict[str, np.ndarray]:
    truth = self.people
    return pckh.resample(
      self.predictions, truth.joints, truth.labeled, truth.head_size
    )


def main(paths: list[str]) -> None:
  if not paths:
    raise UserError('no file of predictions is given; see --help.')
  if not FLAGS.annotations:
    raise UserError('--annotations is missing; see --help.')
  people = mpii.load_evaluation(FLAGS.annotations)
  files = [load(path, people) for path in paths]
  if FLAGS.plot:
    plot(files, FLAGS.plot)
  results = [summarize(file) for file in files]
  for file, result in zip(files[1:], results[1:], strict=True):
    result['difference'] = difference(files[0], file)
  if FLAGS.json:
    print(json.dumps(results, indent=2))
  else:
    print(report(results, len(people)))


def summarize(file: Scored) -> dict:
  """All numbers of a file, in percent; see `pckh.summarize`."""
  return {
    'file': file.file,
    'people': len(file.rows),
    **pckh.summarize(file.counts()),
    'standard_error': pckh.standard_error(file.resamples()),
  }


def difference(first: Scored, second: Scored) -> dict:
  """`second` minus `first`, points of PCKh@0.5, on the people both have.

  The standard error is that of the paired difference: smaller than the two
  files' own, as both fail on the same difficult people.

  Raises:
    UserError: they have nobody in common.
  """
  common, *parts = np.intersect1d(
    first.rows, second.rows, assume_unique=True, return_indices=True
  )
  if not len(common):
    raise UserError(f'{first.file} and {second.file} have nobody in common.')
  pair = first[parts[0]], second[parts[1]]
  before, after = (pckh.at(pckh.TOTALS, file.counts()) for file in pair)
  draws = [file.resamples() for file in pair]
  return {
    'from': first.file,
    'people': len(common),
    'totals': {
      name: None
      if after[name] is None
      else round(after[name] - before[name], 4)
      for name in pckh.TOTALS
    },
    'standard_error': pckh.standard_error(
      {name: draws[1][name] - draws[0][name] for name in pckh.TOTALS}
    ),
  }


def load(path: str | Path, people: People) -> Scored:
  """Reads a file of predictions for `people`, or for some of them.

  Raises:
    UserError: there is no such file, it is damaged, of another form or of
      other people, or a prediction is no number.
  """
  path = Path(path)
  columns = _read(path)
  if 'preds' in columns:
    rows = np.arange(len(people))
    predictions = _people_first(columns['preds'], len(people), path)
  elif columns.keys() >= _OURS:
    rows, predictions = _matched(columns, people, path)
  else:
    raise UserError(
      f'{path} has neither `preds` nor `joints`, `image`, `image_index` and '
      '`person_index`: it is no file of predictions.'
    )
  if (bad := ~np.isfinite(predictions).all(axis=-1)).any():
    row, joint = np.argwhere(bad)[0]
    x, y = predictions[row, joint]
    raise UserError(
      f'{path} has {mpii.SKELETON.joints[joint]} of person {rows[row]} '
      f'({people.image[rows[row]]}) at ({x:g}, {y:g}); every joint of every '
      'person needs a position.'
    )
  return Scored(
    file=str(path), rows=rows, predictions=predictions, people=people[rows]
  )


def _read(path: Path) -> dict[str, np.ndarray]:
  """Reads the columns that the file has of those of the two forms."""
  if not path.is_file():
    raise UserError(f'there is no file {path}.')
  try:
    if not h5py.is_hdf5(path):
      return scipy.io.loadmat(path, variable_names=['preds'])
    with h5py.File(path) as file:  # MATLAB's -v7.3 files too
      names = {'preds', *_OURS} & file.keys()
      return {name: file[name][()] for name in names}
  except mpii.UNREADABLE as error:
    reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
    raise UserError(
      f'{path} is damaged or neither .h5 nor .mat ({reason}).'
    ) from error


def _people_first(
  predictions: np.ndarray, num_people: int, path: Path
) -> np.ndarray:  # f32[P, K, 2]
  shape = (num_people, mpii.NUM_JOINTS, 2)
  if np.shape(predictions) == shape[::-1]:
    predictions = predictions.T
  if np.shape(predictions) != shape:
    raise UserError(
      f'{path} has `preds` of shape {np.shape(predictions)}; for the '
      f'{num_people:,} people it must be {shape} or {shape[::-1]}.'
    )
  return _numbers(predictions, path)


def _numbers(array: np.ndarray, path: Path) -> np.ndarray:
  if array.dtype.kind not in 'fiu':
    raise UserError(f'{path} has predictions that are no numbers.')
  return np.ascontiguousarray(array, np.float32)


def _matched(
  columns: dict[str, np.ndarray], people: People, path: Path
) -> tuple[np.ndarray, np.ndarray]:  # i[n], rows of `people`; f32[n, K, 2]
  """Finds the people of our form, and puts them in the order of `people`."""
  num = np.size(columns['image_index'])
  shapes = dict.fromkeys(_OURS, (num,)) | {'joints': (num, mpii.NUM_JOINTS, 2)}
  for name, shape in shapes.items():
    if np.shape(columns[name]) != shape:
      raise UserError(
        f'{path} has `{name}` of shape {np.shape(columns[name])}; with {num:,} '
        f'people it must be {shape}.'
      )
  if not num:
    raise UserError(f'{path} has no people.')
  known = {person: row for row, person in enumerate(_keys(vars(people)))}
  keys = _keys(columns)
  for key in keys:
    if key not in known:
      raise UserError(
        f'{path} has {_describe(key)}, who is not among the {len(people):,} '
        'validation people.'
      )
  rows = np.array([known[key] for key in keys])
  order = np.argsort(rows)
  if len(twice := np.flatnonzero(np.diff(rows[order]) == 0)):
    raise UserError(
      f'{path} has {_describe(keys[order[twice[0]]])} more than once.'
    )
  return rows[order], _numbers(columns['joints'], path)[order]


def _keys(columns: Mapping[str, np.ndarray]) -> list[tuple[str, int, int]]:
  """What tells people apart. The name, as other data count images as well."""
  return list(
    zip(
      np.asarray(columns['image']).astype(str).tolist(),
      columns['image_index'].tolist(),
      columns['person_index'].tolist(),
      strict=True,
    )
  )


def _describe(key: tuple[str, int, int]) -> str:
  return f'{key[0]} (image {key[1]}, person {key[2]})'


def report(
  results: Sequence[dict],  # of `summarize`
  num_people: int,  # of the annotations
) -> str:
  """The tables of every file, for a terminal."""
  blocks = []
  for result in results:
    part = result['people']
    whole = '' if part == num_people else f' of {num_people:,}'
    blocks.append(
      f'{result["file"]}: {part:,}{whole} people, joints found in percent\n\n'
      + pckh.table(result)
    )
  for result in results:
    if change := result.get('difference'):
      rows = [
        ('PCKh@0.5', pckh.cells(change['totals'], '+.2f')),
        ('  std. error', pckh.cells(change['standard_error'])),
      ]
      blocks.append(
        f'{result["file"]}\nminus {change["from"]}: points, on the '
        f'{change["people"]:,} people of both\n\n' + '\n'.join(pckh.grid(rows))
      )
  blocks.append(
    '\n'.join(
      f'{name:12} {total.source}' for name, total in pckh.TOTALS.items()
    )
  )
  return '\n\n'.join(blocks)


def plot(files: Sequence[Scored], path: str | Path) -> None:
  """Draws PCKh over the threshold: `standard`, and each group of joints.

  Raises:
    UserError: the picture cannot be written.
  """
  from matplotlib.figure import Figure  # slow to import, and seldom needed

  figure = Figure(figsize=(11, 6.2), layout='constrained')
  panels = {'All 14 joints (standard)': pckh.TOTALS['standard'], **pckh.GROUPS}
  axes = figure.subplots(2, 4, sharex=True, sharey=True)
  counts = [file.counts() for file in files]
  for axis, (title, total) in zip(axes.flat, panels.items(), strict=True):
    looks = zip(itertools.cycle(_COLORS), itertools.cycle(_STYLES), strict=True)
    for file, each, (color, style) in zip(files, counts, looks, strict=False):
      name = file.file.replace('$', r'\$')  # no mathematics
      axis.plot(
        pckh.THRESHOLDS,
        total.percent(each),
        color=color,
        linestyle=style,
        label=f'{name} ({len(file.rows):,} people)',
      )
    axis.set_title(title, fontsize=11)
    axis.set(xlim=(0, 0.5), ylim=(0, 100))
    axis.grid(color='0.9')
  for axis in axes[-1]:
    axis.set_xlabel('Threshold, head sizes')
  for axis in axes[:, 0]:
    axis.set_ylabel('Joints found, %')
  figure.suptitle('PCKh on the MPII validation people')
  figure.legend(
    *axes.flat[0].get_legend_handles_labels(), loc='outside lower center'
  )
  try:
    figure.savefig(path, dpi=150)
  except (OSError, ValueError) as error:
    raise UserError(f'cannot write the picture {path}: {error}') from error


if __name__ == '__main__':
  define_flags()
  run(main)
