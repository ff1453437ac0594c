"""Scores people found in whole photos, where nobody says where they are.

Each labeled person of a photo takes the found person whose square overlaps
theirs most, one for one; who takes none has every joint wrong. A found person
is false who overlaps nobody annotated in the photo by a third or more.

Axes: P labeled people, K joints, F found people of a photo.
"""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from hg_jax.annotations import forms, image_files
from hg_jax.annotations.boxes import ROOM
from hg_jax.base import files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import matches
from hg_jax.evaluation import coco_truth
from hg_jax.evaluation import results as results_lib
from hg_jax.input import datasets, photo_records, records
from hg_jax.input.records import Crops
from hg_jax.media import images
from hg_jax.metrics import boxes, oks, pck, tables
from hg_jax.metrics.boxes import BoxCounts
from hg_jax.prediction.predictor import Prediction, Predictor

_FALSE = 1 / 3  # of overlap with anybody, below which a found person is false
_SMALLEST = 14 / 192  # of the photo's longer side; smaller squares do not count


@dataclasses.dataclass
class Found:
  """What was found in the photos of P labeled people.

  Attributes:
    joints: f32[P, K, 2] px of the images, NaN of who is missed.
    scores: f32[P, K], 0 of who is missed.
    false: found people who are nobody.
    photos: how many were looked at.
    counts: of all squares, at an overlap of 0.5.
    by_photo: everybody found, by the image's name.
  """

  joints: np.ndarray
  scores: np.ndarray
  false: int = 0
  photos: int = 0
  counts: BoxCounts | None = None
  by_photo: dict[str, Prediction] = dataclasses.field(default_factory=dict)


def evaluate(
  workdir: Path,
  config: Config,
  *,
  which: str,
  split: str,
  output: Path,
  finder: str,
) -> None:
  """Scores a run on the whole photos of a split; prints a table.

  Args:
    workdir: the run's folder.
    config: the run's; its `evaluate` and `data.dir` may be others.
    which: 'best', 'latest' or a step.
    split: of the prepared people.
    output: the folder for whole_photos.json.
    finder: as `Predictor` takes it.

  Raises:
    UserError: there is no such run or split, or a photo is gone.
  """
  predictor = Predictor(
    workdir,
    which=which,
    finder=finder,
    flip_test=config.evaluate.flip_test,
  )
  crops = datasets.read_for(config, split, predictor.skeleton)
  data_dir = datasets.folders(config)[0]
  found = _find(predictor, crops, data_dir, split)
  metric = pck.create_metric(crops.skeleton)
  summary = {
    'commit': results_lib.commit(),
    'split': split,
    'finder': finder,
    'flip_test': config.evaluate.flip_test,
    **_summarize(found, crops, metric),
  }
  path = coco_truth.file_of(data_dir, split, metric)
  if path is not None:
    oks_numbers, sigmas = _average_precision(path, found, predictor)
    summary |= {'oks': oks_numbers}
    metric = dataclasses.replace(metric, sigmas=sigmas)
  print(f'\n{workdir}, whole photos\n{tables.table(metric, summary)}')
  print(
    'Missed {missed_people} of {people} labeled people; {false_people_a_photo} '
    'false people a photo. Squares of all people: {box_recall} % found, '
    '{box_precision} % of the found right.\n'.format(**summary)
  )
  output.mkdir(parents=True, exist_ok=True)
  files.write(
    output / 'whole_photos.json', json.dumps(summary, indent=2) + '\n'
  )
  print(f'Wrote {output / "whole_photos.json"}')


def _summarize(
  found: Found, crops: Crops, metric: pck.Metric
) -> dict[str, Any]:
  """Returns all numbers, as JSON has them."""
  people = crops.people
  counts = pck.count(
    found.joints,
    people.joints,
    people.labeled,
    people.visible,
    people.reference,
    thresholds=metric.thresholds,
  )
  correct = metric.correct(found.joints, people.joints, people.reference)
  return {
    'people': len(people),
    'photos': found.photos,
    'missed_people': int(np.isnan(found.joints).any(axis=(1, 2)).sum()),
    'false_people_a_photo': round(found.false / found.photos, 2),
    'box_recall': round(100 * float(found.counts.recall()[0]), 1),
    'box_precision': round(100 * float(found.counts.precision()[0]), 1),
    **metric.summarize(counts),
    'standard_error': pck.standard_errors(
      metric.influences(correct, people.scored())
    ),
  }


def _find(
  predictor: Predictor, crops: Crops, data_dir: Path, split: str
) -> Found:
  people = crops.people
  rows_of = defaultdict(list)
  for row, image in enumerate(people.image.tolist()):
    rows_of[image].append(row)
  folder = Path(records.source(data_dir)['images'])
  paths = image_files.find(rows_of, folder)
  if missing := rows_of.keys() - paths.keys():
    raise UserError(
      f'{len(missing)} photos are not in {folder} any more, such as '
      f'{min(missing)}; put them back, or prepare again.'
    )
  photos = photo_records.read(data_dir, split)
  number_of = {name: n for n, name in enumerate(photos.image.tolist())}
  joints = np.full(people.joints.shape, np.nan, np.float32)
  found = Found(joints, np.zeros(joints.shape[:2], np.float32))
  for image, rows in tqdm(rows_of.items(), unit='photo', desc='Looking'):
    # Annotations are in stored pixels.
    picture = images.read(paths[image])
    prediction = predictor(picture)
    found.by_photo[image] = dataclasses.replace(prediction, image=None)
    middles, sides = _squares(prediction.boxes)
    overlaps = boxes.overlap(
      people.center[rows][:, None], people.side[rows][:, None], middles, sides
    )
    for row, column in zip(*linear_sum_assignment(-overlaps), strict=True):
      if overlaps[row, column] > 0:
        found.joints[rows[row]] = prediction.joints[column]
        found.scores[rows[row]] = prediction.scores[column]
    photo = number_of[image]
    truth = (
      photos.middles[photo] / photos.scale[photo],
      photos.sides[photo] / photos.scale[photo],
    )
    near = boxes.overlap(middles[:, None], sides[:, None], *truth)
    found.false += int((near.max(axis=1, initial=0) < _FALSE).sum())
    found.photos += 1
    small = truth[1] < _SMALLEST * max(picture.shape)
    counts = boxes.count(middles, sides, np.ones(len(sides)), *truth, small)
    found.counts = counts if found.counts is None else found.counts + counts
  return found


def _squares(of_people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the middles f[F, 2] and sides f[F] of the squares of boxes."""
  corner, size = of_people[:, :2], of_people[:, 2:]
  return corner + size / 2, ROOM * size.max(axis=1, initial=0)


def _average_precision(
  path: Path, found: Found, predictor: Predictor
) -> tuple[dict[str, float | None], tuple[float, ...]]:
  """Returns COCO's numbers over the joints of both skeletons, and sigmas."""
  file = forms.read_coco(path)
  _, theirs = forms.read_everyone(path, file)
  pairs = [
    (ours, its)
    for ours, its in enumerate(matches(theirs, predictor.skeleton))
    if its is not None
  ]
  ours, its = map(list, zip(*pairs, strict=True))
  truth = file.truth()
  truth['annotations'] = [
    _with_joints(person, its, len(theirs.joints))
    for person in truth['annotations']
  ]
  ids = {image.name: image.id for image in file.images}
  category = file.annotations[0].category_id
  found_people: list[dict[str, Any]] = []
  for name, prediction in found.by_photo.items():
    for points, scores in zip(
      prediction.joints[:, ours], prediction.scores[:, ours], strict=True
    ):
      keypoints = np.concatenate([points, scores[:, None]], axis=1)
      found_people.append(
        {
          'image_id': ids[name],
          'category_id': category,
          'keypoints': keypoints.astype(float).ravel().tolist(),
          'score': float(scores.mean()),
        }
      )
  metric = pck.create_metric(theirs)
  sigmas = tuple(metric.sigmas[joint] for joint in its)
  numbers = oks.average_precision(
    truth,
    found_people,
    category=category,
    sigmas=sigmas,
    images={ids[name] for name in found.by_photo},
  )
  return numbers, sigmas


def _with_joints(
  person: dict[str, Any], joints: list[int], count: int
) -> dict[str, Any]:
  values = np.reshape(person.get('keypoints') or [0] * 3 * count, (-1, 3))
  chosen = values[joints]
  labeled = int((chosen[:, 2] > 0).sum())
  return person | {
    'keypoints': chosen.ravel().tolist(),
    'num_keypoints': labeled,
  }
