"""Evaluates a run and writes a table, numbers, predictions and pictures.

results.json    the numbers; `results` lists them
predictions.h5  joints in px of the images, which `hg_jax.score` reads
overlay_*.png   the worst and random people, with predictions and truth
heatmaps_*.png  the network's heatmaps of the worst person

The joints of MPII's test people are not published. For them the run gets
pred_keypoints_mpii.mat, which MPII scores, instead of numbers.
"""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hg_jax.base import affine, files
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import coco_truth, inference, predictions, submission
from hg_jax.evaluation import results as results_lib
from hg_jax.evaluation.evaluate import Evaluator, Results
from hg_jax.input import crops as cropping
from hg_jax.input import datasets, records
from hg_jax.input.records import Crops
from hg_jax.metrics import tables
from hg_jax.model import hourglass
from hg_jax.pictures import figures, heatmap_sheets
from hg_jax.run import bundle, processes, run_config

_OVERLAY_SIZE = 448  # px
_SUBMISSION = 'pred_keypoints_mpii.mat'


def check(
  workdir: Path, config: Config, *, which: str, split: str, output: Path
) -> None:
  """Refuses, before a run is trained, what `evaluate_run` would after it.

  The folder `workdir` may be missing; `output` is made.

  Raises:
    UserError: there can be no such checkpoint, there is no such split, or
      the files cannot be written.
  """
  can_be = which.isdecimal() and (
    int(which) <= config.steps or (workdir / 'checkpoints' / which).is_dir()
  )
  if which not in ('best', 'latest') and not can_be:
    raise UserError(
      f'--checkpoint={which} will not exist; choose best, latest or a step up '
      f'to {config.steps}.'
    )
  people = records.read_people(datasets.folders(config)[0], split)
  if not people.labeled.any():
    submission.require_annotations(_annotations(config), output / _SUBMISSION)
  _make_folder(output)


def _make_folder(output: Path) -> None:
  """Makes the folder for the files and checks that it can be written to."""
  if output.exists() and not output.is_dir():
    raise UserError(f'{output} is a file; give a folder as --output.')
  with system_errors(output):
    output.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=output).close()


def evaluate_run(
  workdir: Path, config: Config, *, which: str, split: str, output: Path
) -> None:
  """Evaluates a checkpoint of a run; prints a table and writes files.

  Args:
    workdir: the run's folder.
    config: the run's config; `evaluate` and `data.dir` may have changed.
    which: 'best', 'latest' or a step.
    split: the split of the prepared people.
    output: the folder for the files.

  Raises:
    UserError: the checkpoint or the split does not exist, or is of another
      network.
  """
  skeleton, averaged = _from_folder(workdir, config)
  crops = datasets.read_for(config, split, skeleton)
  processes.run_on_first(lambda: _make_folder(output))
  for note in crops.notes:
    print(note)
  evaluator = Evaluator(
    hourglass.create_model(config, joints=len(crops.skeleton.joints)),
    config,
    crops,
  )
  step, variables, results = _evaluated(evaluator, workdir, config, which)
  raw = None
  if averaged:
    *_, raw = _evaluated(evaluator, workdir, config, str(step), ema=False)
  if not processes.is_first_process():
    return
  print(f'\n{workdir}, step {step}')
  written = [output / 'predictions.h5']
  predictions.write(written[0], crops.people, results.joints, results.score)
  if crops.people.labeled.any():
    summary = {
      'commit': results_lib.commit(),
      'step': step,
      'split': split,
      'flip_test': config.evaluate.flip_test,
      **_summarize(results, crops),
      **_average_precision(config, split, results, crops),
    }
    if raw:
      summary['without_averaging'] = _summarize(raw, crops)
      table = tables.table(results.metric, summary['without_averaging'])
      print(f'\nWithout averaging:\n{table}')
      print('\nThe moving average of the weights:')
    print(f'{tables.table(results.metric, summary)}\n')
    written.append(output / 'results.json')
    files.write(written[-1], json.dumps(summary, indent=2) + '\n')
    written += _write_overlays(output, results, crops, config.evaluate.figures)
    if config.evaluate.figures:
      written += _write_heatmaps(output, config, variables, results, crops)
  else:
    written.append(_write_submission(output, config, results, crops))
  print('Wrote ' + ', '.join(str(path) for path in written))


def _from_folder(workdir: Path, config: Config) -> tuple[Skeleton, bool]:
  """Returns the skeleton, and whether there are averaged and raw weights.

  The first process tells the others, which may not see the folder.
  """
  skeleton, averaged = processes.json_from_first(
    lambda: (
      run_config.load_skeleton(workdir).to_json(),
      bool(config.ema_decay) and not bundle.is_bundle(workdir),
    )
  )
  return skeleton_lib.from_json(skeleton), averaged


def _evaluated(
  evaluator: Evaluator,
  workdir: Path,
  config: Config,
  which: str,
  *,
  ema: bool | None = None,
) -> tuple[int, dict[str, Any], Results]:
  """Returns the step, the weights and the results of a checkpoint."""

  def load() -> tuple[np.ndarray, dict[str, Any]]:
    step, variables = inference.load_variables(workdir, config, which, ema=ema)
    return np.int32(step), variables

  joints = len(evaluator.crops.skeleton.joints)
  like = np.int32(0), hourglass.variables_like(config, joints=joints)
  step, variables = processes.broadcast_from_first(load, like=like)
  return int(step), variables, evaluator.run(variables)


def _write_submission(
  output: Path, config: Config, results: Results, crops: Crops
) -> Path:
  path = output / _SUBMISSION
  counts = submission.write(
    path, _annotations(config), crops.people, results.joints
  )
  print(
    'The joints of these people are not published. MPII scores the single '
    'people, {single} of {annotated}; {scored} of them are predicted '
    'here.'.format(**counts)
  )
  return path


def _annotations(config: Config) -> Path:
  """Returns the file that the people were prepared from."""
  return Path(records.source(datasets.folders(config)[0])['annotations'])


def _summarize(results: Results, crops: Crops) -> results_lib.Scores:
  people, metric = crops.people, results.metric
  correct = metric.correct(results.joints, people.joints, people.reference)
  loss = float(results.loss.mean())
  return {
    **results_lib.summarize(
      people, crops.skeleton, results.joints, results.counts[-1]
    ),
    'people_id': results_lib.people_id(
      people.image, people.image_index, people.person_index
    ),
    'loss': loss,
    'skill': 1 - loss / results.zero_loss,
    'hits': results_lib.pack_hits(people, correct),
    'stacks': [
      {
        'loss': float(loss),
        'totals': metric.at(metric.totals, counts),
        f'totals_at_{metric.fine:g}': metric.at(
          metric.totals, counts, metric.fine
        ),
      }
      for counts, loss in zip(results.counts, results.loss, strict=True)
    ],
  }


def _average_precision(
  config: Config, split: str, results: Results, crops: Crops
) -> dict:
  """Returns COCO's numbers if the people are COCO's, with these joints."""
  if crops.notes:  # The network has other joints.
    return {}
  metric = results.metric
  return coco_truth.summarize(
    coco_truth.file_of(datasets.folders(config)[0], split, metric),
    crops.people,
    metric,
    results.joints,
    results.score,
  )


def _errors(results: Results, crops: Crops) -> np.ndarray:  # f32[P, K]
  """Returns each joint's error in the metric's unit; 0 if not scored."""
  people = crops.people
  distance = np.linalg.norm(results.joints - people.joints, axis=-1)
  reference = people.reference[:, None]
  return np.divide(
    distance, reference, out=np.zeros_like(distance), where=people.scored()
  )


def _write_overlays(
  output: Path, results: Results, crops: Crops, count: int
) -> list[Path]:
  """Draws the `count` worst people and as many random ones."""
  people = crops.people
  scored = people.scored()
  correct = scored & (_errors(results, crops) < results.metric.threshold)
  chosen = figures.worst_and_random(correct, scored, count=count)
  # A little more than the person's square, for limbs that reach beyond it.
  side = 1.2 * people.side
  image_to_picture = affine.image_to_crop(people.center, side, _OVERLAY_SIZE)
  return figures.save_overlays(
    output,
    chosen,
    crops={
      row: _picture(crops, row, image_to_picture[row], _OVERLAY_SIZE)
      for rows in chosen.values()
      for row in rows
    },
    joints=affine.apply(people.joints, image_to_picture),
    labeled=people.labeled,
    predictions=affine.apply(results.joints, image_to_picture),
    correct=correct,
    radius=results.metric.threshold * people.reference * _OVERLAY_SIZE / side,
    metric=results.metric.name(),
    names=[Path(name).stem for name in people.image],
    skeleton=crops.skeleton,
  )


def _write_heatmaps(
  output: Path,
  config: Config,
  variables: dict[str, Any],
  results: Results,
  crops: Crops,
) -> list[Path]:
  """Draws the heatmaps of the worst person.

  One sheet has a panel per joint. The other has a panel per stack, for the
  joint with the largest error.
  """
  skeleton = crops.skeleton
  error = _errors(results, crops)
  row = int(error.sum(axis=1).argmax())
  size = config.data.image_size
  people = crops.people
  image_to_input = affine.image_to_crop(
    people.center[row], people.side[row], size
  )
  image = _picture(crops, row, image_to_input, size)
  infer = partial(
    inference.infer,
    hourglass.create_model(config, joints=len(skeleton.joints)),
    flip=skeleton.flip if config.evaluate.flip_test else None,
  )
  _, heatmaps = jax.device_get(jax.jit(infer)(variables, image[None]))
  joint = int(error[row].argmax())
  sheets = {
    'heatmaps_joints.png': heatmap_sheets.joint_sheet(
      image, heatmaps[0, -1], skeleton, crops.people.image[row]
    ),
    'heatmaps_stacks.png': heatmap_sheets.stack_sheet(
      image, heatmaps[0], joint, skeleton
    ),
  }
  for name, sheet in sheets.items():
    figures.write(output / name, sheet)
  return [output / name for name in sheets]


def _picture(
  crops: Crops, row: int, image_to_picture: np.ndarray, size: int
) -> np.ndarray:
  """Cuts a part of the image from the stored crop, u8[size, size, 3] RGB."""
  crop_to_picture = np.linalg.inv(crops.image_to_crop[row]) @ image_to_picture
  return cropping.warp(crops.decode(row), crop_to_picture, size)
