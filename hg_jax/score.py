"""Scores files of predictions, ours or anyone's, against annotated people.

  python -m hg_jax.score PREDICTIONS... --annotations=valid.h5
  python -m hg_jax.score runs/adam16/predictions.h5 --annotations=data/mpii
  python -m hg_jax.score results.json --annotations=person_keypoints.json

Predictions are px of the image, for the people of --split:

  predictions.h5   as evaluation writes it: `joints`, `image`, `image_index`
                   and `person_index`; any of the people, in any order
  .h5, .mat        `preds`, people x K x 2 or 2 x K x people, of all people in
                   standard order; for MPII the 2,958 with K = 16
  .json            COCO results, scored only by COCO's average precision

Axes: P people, n of them in a file, K joints.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from hg_jax.annotations import forms, mpii
from hg_jax.annotations.people import People
from hg_jax.base.command import run
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import coco_truth, predictions
from hg_jax.evaluation import results as results_lib
from hg_jax.evaluation.predictions import Predictions
from hg_jax.input import records
from hg_jax.metrics import pck, tables
from hg_jax.metrics.pck import Metric

FLAGS = flags.FLAGS


def define_flags() -> None:
  flags.DEFINE_string(
    'annotations',
    None,
    'The truth: a folder of prepared people, COCO keypoints JSON, or of MPII '
    'valid.h5, gt_valid.mat, mpii_annotations.json[.gz] or '
    'mpii_human_pose_v1_u12_1.mat.',
  )
  flags.DEFINE_string('split', 'valid', 'Of a folder of prepared people.')
  flags.DEFINE_string('category', None, 'Of COCO JSON with several.')
  flags.DEFINE_string('metric', None, 'Of COCO JSON: pck_box or pck_torso.')
  flags.DEFINE_string(
    'plot', None, 'Picture to write: PCK over the threshold, a line per file.'
  )
  flags.DEFINE_bool('common', False, 'Score only people that all files have.')
  flags.DEFINE_bool('json', False, 'Print JSON: a list, an object per file.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
  """Annotated people and what they are scored by.

  Attributes:
    name: describes the people, for titles.
    people: P of them.
    skeleton: their joints.
    coco_file: the COCO keypoints file that they come from, if any.
  """

  name: str
  people: People
  skeleton: Skeleton
  coco_file: Path | None = None

  @property
  def metric(self) -> Metric:
    return pck.create_metric(self.skeleton)


def main(paths: list[str]) -> None:
  if not paths:
    raise UserError('no file of predictions is given; see --help.')
  if not FLAGS.annotations:
    raise UserError('--annotations is missing; see --help.')
  are_results = {path.endswith('.json') for path in paths}
  if len(are_results) > 1:
    raise UserError(
      'COCO results in .json and predictions in .h5 or .mat are scored by '
      'different numbers; score them separately.'
    )
  if True in are_results and (FLAGS.plot or FLAGS.common):
    raise UserError(
      '--plot and --common are for .h5 and .mat; COCO results in .json are '
      'scored only by average precision.'
    )
  path = Path(FLAGS.annotations)
  if FLAGS['split'].present and not path.is_dir():
    raise UserError(f'--split is of a folder of prepared people, not {path}.')
  truth = load_truth(
    path, FLAGS.split, category=FLAGS.category, metric=FLAGS.metric
  )
  if True in are_results:
    results = [summarize_coco(path, truth) for path in paths]
  else:
    files = [
      predictions.load(path, truth.people, truth.skeleton) for path in paths
    ]
    if FLAGS.common:
      files = in_common(files)
    results = [summarize(file, truth) for file in files]
    for file, result in zip(files[1:], results[1:], strict=True):
      result['difference'] = difference(files[0], file, truth)
  print(json.dumps(results, indent=2) if FLAGS.json else report(results, truth))
  if FLAGS.plot:
    plot(files, truth, Path(FLAGS.plot))


def load_truth(path: Path, split: str, **settings: str | None) -> Truth:
  """Reads annotated people of any form.

  Args:
    path: the annotations, or a folder of prepared people.
    split: the split of prepared people.
    **settings: 'category' and 'metric' of a COCO keypoints file.

  Raises:
    UserError: the file does not exist, is damaged or of another form.
  """
  is_prepared = path.is_dir() and records.prepared(path)
  contents = None if is_prepared else forms.read_coco(path)
  if contents is None and (given := [k for k, v in settings.items() if v]):
    raise UserError(f'--{given[0]} is for COCO keypoints JSON, not for {path}.')
  if is_prepared:
    crops = records.read(path, split)
    metric = pck.create_metric(crops.skeleton)
    return Truth(
      name=f'{split} people of {path}',
      people=crops.people,
      skeleton=crops.skeleton,
      coco_file=coco_truth.file_of(path, split, metric),
    )
  if contents:
    people, skeleton = forms.read_everyone(path, contents, **settings)
    return Truth(
      name=f'people of {path}', people=people, skeleton=skeleton, coco_file=path
    )
  return Truth(
    name='MPII validation people',
    people=mpii.load_evaluation(path),
    skeleton=mpii.SKELETON,
  )


def summarize(file: Predictions, truth: Truth) -> dict:
  """Returns all scores of a file; see `results.Scores`."""
  has, metric = file.has(), truth.metric
  people, joints = truth.people[has], file.joints[has]
  counts = results_lib.count(people, metric, joints)
  return {
    'file': file.file,
    **results_lib.summarize(people, truth.skeleton, joints, counts),
    **coco_truth.summarize(
      truth.coco_file, people, metric, joints, file.score[has]
    ),
  }


def summarize_coco(path: str, truth: Truth) -> dict:
  """Returns COCO's average precision of a file of COCO results.

  Raises:
    UserError: the truth is not a COCO file, or these are not its results.
  """
  if truth.coco_file is None:
    raise UserError(
      f'{path} can be scored if --annotations is a COCO keypoints file.'
    )
  numbers = coco_truth.of_results(
    truth.coco_file, Path(path), truth.people, truth.metric
  )
  return {'file': path, 'oks': numbers}


def in_common(files: Sequence[Predictions]) -> list[Predictions]:
  """Returns the files with only the people that all of them have.

  Raises:
    UserError: they have nobody in common.
  """
  common = np.all([file.has() for file in files], axis=0)
  if not common.any():
    names = ', '.join(file.file for file in files)
    raise UserError(f'{names} have nobody in common.')
  return [file.only(common) for file in files]


def difference(first: Predictions, second: Predictions, truth: Truth) -> dict:
  """Returns `second` minus `first`, in points, on the people both have.

  The standard error is that of the paired difference.

  Raises:
    UserError: they have nobody in common.
  """
  pair, metric = in_common([first, second]), truth.metric
  common = pair[0].has()
  people, joints = truth.people[common], [each.joints[common] for each in pair]
  before, after = (
    metric.at(metric.totals, results_lib.count(people, metric, each))
    for each in joints
  )
  moves = [results_lib.influences(people, metric, each) for each in joints]
  return {
    'from': first.file,
    'people': int(common.sum()),
    'totals': {
      name: None if value is None else round(value - before[name], 4)
      for name, value in after.items()
    },
    'standard_error': pck.standard_errors(
      {name: moves[1][name] - moves[0][name] for name in metric.totals}
    ),
  }


def report(
  results: Sequence[dict],  # of `summarize` or `summarize_coco`
  truth: Truth,
) -> str:
  """Formats the tables of every file for a terminal."""
  metric, blocks = truth.metric, []
  for result in results:
    if 'totals' not in result:
      blocks.append(
        '\n'.join([f'{result["file"]}\n', *tables.oks_rows(metric, result)])
      )
      continue
    part, all_of = result['people'], len(truth.people)
    whole = '' if part == all_of else f' of {all_of:,}'
    blocks.append(
      f'{result["file"]}: {part:,}{whole} people, percent of labeled joints\n\n'
      + tables.table(metric, result)
    )
  for result in results:
    if not (change := result.get('difference')):
      continue
    title = (
      f'{result["file"]}\nminus {change["from"]}: points, on the '
      f'{change["people"]:,} people of both'
    )
    totals = tables.grid({metric.name(): change['totals']}, '+.2f')
    errors = tables.grid({'  std. error': change['standard_error']})
    blocks.append('\n'.join([title, '', *totals, *errors[1:]]))
  if any('totals' in result for result in results):
    lines = (f'{name:12} {t.source}' for name, t in metric.totals.items())
    blocks.append('\n'.join(lines))
  return '\n\n'.join(blocks)


def plot(files: Sequence[Predictions], truth: Truth, path: Path) -> None:
  """Draws the metric over the threshold: a total, and each group of joints.

  Raises:
    UserError: the picture cannot be written.
  """
  from hg_jax.pictures import plots  # Matplotlib is slow to import.

  metric = truth.metric
  counts = {
    f'{file.file} ({has.sum():,} people)': results_lib.count(
      truth.people[has], metric, file.joints[has]
    )
    for file in files
    for has in [file.has()]
  }
  drawn = metric.totals[metric.curve]
  joints = sum(map(len, drawn.parts))
  panels = {f'All {joints} joints ({metric.curve})': drawn, **metric.groups}
  figure = plots.over_thresholds(
    metric.thresholds,
    {
      title: {name: total.percent(each) for name, each in counts.items()}
      for title, total in panels.items()
    },
    unit=metric.unit,
    title=f'{metric.name().partition("@")[0]} on the {truth.name}',
  )
  if path.suffix[1:] not in figure.canvas.get_supported_filetypes():
    raise UserError(f'{path} is not a picture; name it .png, .pdf or .svg.')
  with system_errors(path):
    plots.write(figure, path, dpi=150)


if __name__ == '__main__':
  define_flags()
  run(main)
