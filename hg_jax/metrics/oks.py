"""COCO's average precision over object keypoint similarity, by pycocotools.

The similarity of a prediction to a person is the mean over labeled joints of
exp(-d^2 / (2 area (2 sigma)^2)), with a sigma per joint. Person by person it
does not add: people of an image compete, ranked by their scores.
"""

import contextlib
import io
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from hg_jax.base.errors import UserError

_MOST = 1e9  # px or score, whose squares are numbers, too
_RESULT = ('image_id', 'category_id', 'keypoints', 'score')
# In the order of `COCOeval.stats`.
_STATS = ('AP', 'AP50', 'AP75', 'AP_medium', 'AP_large')
_STATS += tuple(name.replace('P', 'R') for name in _STATS)


def average_precision(
  truth: dict[str, Any],
  results: Sequence[dict[str, Any]],
  *,
  category: Any,
  sigmas: Sequence[float],  # one per joint
  images: set | None = None,
) -> dict[str, float | None]:
  """Returns COCO's ten numbers, from 0 to 1; None where nobody counts.

  Args:
    truth: a COCO keypoints file. People without a box get their joints'
      extent, people without an area 0.53 of their box.
    results: COCO results, each with `image_id`, `category_id`, `keypoints`
      and `score`.
    category: the `category_id` that is evaluated.
    sigmas: of the joints.
    images: the ids of the images that are evaluated; None: all.

  Raises:
    UserError: pycocotools is not installed, or a result is of an image that
      the truth lacks or has another number of joints.
  """
  COCO, COCOeval = _pycocotools()
  # Ids may be numbers of any kind or words; pycocotools sorts them.
  number = {image['id']: n for n, image in enumerate(truth['images'], 1)}
  _check(results, number, 3 * len(sigmas))
  found = [
    result | {'image_id': number[result['image_id']], 'category_id': 1}
    for result in results
    if result['category_id'] == category
  ]
  if not found:
    return dict.fromkeys(_STATS, 0.0)
  coco = COCO()
  coco.dataset = {
    'images': [{'id': n} for n in number.values()],
    'categories': [{'id': 1}],
    'annotations': [
      _complete(person, number[person['image_id']], n)
      for n, person in enumerate(truth['annotations'], 1)
      if person.get('category_id', category) == category
      and len(person.get('keypoints', ())) == 3 * len(sigmas)
    ],
  }
  with contextlib.redirect_stdout(io.StringIO()):
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(found), 'keypoints')
    evaluation.params.kpt_oks_sigmas = np.array(sigmas)
    if images is not None:
      evaluation.params.imgIds = [number[image] for image in images]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
  return {
    name: None if value < 0 else round(float(value), 4)
    for name, value in zip(_STATS, evaluation.stats, strict=True)
  }


def _pycocotools():
  try:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
  except ImportError as error:
    raise UserError(
      "OKS AP needs pycocotools; install it with pip install 'hg_jax[coco]'."
    ) from error
  return COCO, COCOeval


def _check(results: Sequence[dict], images: dict, length: int) -> None:
  """Refuses what are not COCO results of these images."""
  for number, result in enumerate(results):
    if missing := [key for key in _RESULT if key not in result]:
      raise UserError(f'result {number} has no {missing[0]!r}.')
    image = result['image_id']
    if not isinstance(image, Hashable) or image not in images:
      raise UserError(
        f'result {number} is of image {image!r}, which the annotations do not '
        'have.'
      )
    if not _is_number(result['score']):
      raise UserError(
        f'result {number} has a score of {result["score"]!r}, which is not a '
        'number.'
      )
    keypoints = result['keypoints']
    if (
      not isinstance(keypoints, list)
      or len(keypoints) != length
      or not all(map(_is_number, keypoints))
    ):
      raise UserError(
        f'result {number} must have {length} numbers in its keypoints: x, y '
        'and a score of each joint.'
      )


def _is_number(value: object) -> bool:
  return isinstance(value, (int, float)) and -_MOST <= value <= _MOST


def _complete(
  person: dict[str, Any], image: int, number: int
) -> dict[str, Any]:
  """An annotation with all that pycocotools reads."""
  x, y, v = np.reshape(person['keypoints'], (-1, 3)).T
  labeled = v > 0
  box = person.get('bbox')
  if not box:
    x, y = (x[labeled], y[labeled]) if labeled.any() else (np.zeros(1),) * 2
    box = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
  return {
    'id': number,
    'image_id': image,
    'category_id': 1,
    'iscrowd': person.get('iscrowd', 0),
    'keypoints': person['keypoints'],
    'num_keypoints': person.get('num_keypoints', int(labeled.sum())),
    'bbox': box,
    'area': person.get('area', 0.53 * box[2] * box[3]),
  }
