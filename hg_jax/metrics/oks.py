"""COCO's average precision over object keypoint similarity, by pycocotools.

The similarity of a prediction to a person is the mean over labeled joints of
exp(-d^2 / (2 area (2 sigma)^2)), with a sigma per joint. Average precision
does not add over people: the people of an image compete, ranked by score.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

import numpy as np
from msgspec import Meta

from hg_jax.base.errors import UserError

# Px or a score. The bound keeps squares finite and leaves out NaN.
Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
# In the order of `COCOeval.stats`.
_STATS = ('AP', 'AP50', 'AP75', 'AP_medium', 'AP_large')
_STATS += tuple(name.replace('P', 'R') for name in _STATS)


class Result(TypedDict):
  """A person in a file of COCO results."""

  image_id: int | float | str
  category_id: int | float | str | None
  keypoints: list[Number]  # x, y and a score of each joint
  score: Number


def average_precision(
  truth: dict[str, Any],
  results: Sequence[Result],
  *,
  category: Any,
  sigmas: Sequence[float],  # one per joint
  images: set | None = None,
) -> dict[str, float | None]:
  """Returns COCO's ten numbers, from 0 to 1; None where nobody counts.

  Args:
    truth: a COCO keypoints file. People without a box get their joints'
      extent, people without an area 0.53 of their box.
    results: the predictions.
    category: the `category_id` that is evaluated.
    sigmas: of the joints.
    images: the ids of the images that are evaluated; None: all.

  Raises:
    UserError: pycocotools is not installed or cannot use the truth, or a
      result is of an image that the truth lacks or has another number of
      joints.
  """
  COCO, COCOeval = _pycocotools()
  # Ids may be numbers or text; pycocotools sorts them.
  number = {image['id']: n for n, image in enumerate(truth['images'], 1)}
  length = 3 * len(sigmas)
  _check(results, number, length)
  found = [
    result | {'image_id': number[result['image_id']], 'category_id': 1}
    for result in results
    if result['category_id'] == category
  ]
  if not found:
    return dict.fromkeys(_STATS, 0.0)
  coco = COCO()
  with _naming_mistakes(), contextlib.redirect_stdout(io.StringIO()):
    coco.dataset = {
      'images': [{'id': n} for n in number.values()],
      'categories': [{'id': 1}],
      'annotations': [
        _complete(person, number[person['image_id']], n)
        for n, person in enumerate(truth['annotations'], 1)
        if person.get('category_id', category) == category
        and len(person.get('keypoints') or ()) == length
      ],
    }
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


@contextlib.contextmanager
def _naming_mistakes():
  """Raises a UserError for what pycocotools says of annotations."""
  try:
    yield
  except (ArithmeticError, LookupError, TypeError, ValueError) as error:
    raise UserError(
      'pycocotools cannot use the annotations '
      f'({type(error).__name__}: {error}).'
    ) from error


def _check(results: Sequence[Result], images: dict, length: int) -> None:
  for number, result in enumerate(results):
    if result['image_id'] not in images:
      raise UserError(
        f'result {number} is of image {result["image_id"]!r}, which the '
        'annotations do not have.'
      )
    if len(result['keypoints']) != length:
      raise UserError(
        f'result {number} must have {length} numbers in its keypoints: x, y '
        'and a score of each joint.'
      )


def _complete(
  person: dict[str, Any], image: int, number: int
) -> dict[str, Any]:
  """Returns an annotation with the fields that pycocotools reads.

  Labeling tools leave out some of them, or write null or 0.
  """
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
    'iscrowd': person.get('iscrowd') or 0,
    'keypoints': person['keypoints'],
    'num_keypoints': int(labeled.sum()),
    'bbox': box,
    'area': person.get('area') or 0.53 * box[2] * box[3],
  }
