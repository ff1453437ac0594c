"""Makes people and their skeleton of COCO keypoints JSON, see `coco_file`.

Axes: P people, K joints.
"""

import collections
import itertools
from collections.abc import Sequence

import numpy as np

from hg_jax.annotations.coco_file import Annotation, Category, File, Image
from hg_jax.annotations.people import FARTHEST, People, from_boxes
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton

_NOSE_TO_ANKLE = (
  'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder',
  'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist',
  'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle',
  'right_ankle',
)  # fmt: skip
# Of these, from pycocotools' cocoeval.py.
_SIGMAS = (
  0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
  0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
METRICS = ('pck_box', 'pck_torso')
# An annotation and its place in the file.
Entry = tuple[int, Annotation]


def read(
  file: File,
  *,
  category: str | None = None,
  flip_pairs: Sequence[str] | None = None,
  metric: str | None = None,
) -> tuple[People, Skeleton, list[str]]:
  """Reads the annotations of one category that have a labeled joint.

  Args:
    file: the file.
    category: the name of the category; needed if several have keypoints.
    flip_pairs: the mirror pairs, each as 'a:b'; by default the names say them.
    metric: of `Skeleton`, 'pck_box' by default.

  Returns:
    The people, in the file's order; the skeleton; and lines on who was left
    out. `People.reference` is 0 where it cannot be measured.

  Raises:
    UserError: names the entry that is wrong.
  """
  chosen = _category(file.categories, category)
  skeleton = _skeleton(chosen, flip_pairs, metric or METRICS[0])
  _require_ids(file.annotations)
  people, joints, boxes, counts = _select(file, chosen, skeleton)
  places = _image_places(people, file.images)
  images = [file.images[place] for place in places]
  counts |= {
    'people whose box holds none of their joints kept': _lost(joints, boxes),
    'joints outside of their images kept': _outside(joints, images),
  }
  notes = [f'{count:,} {what}' for what, count in counts.items() if count]
  if not people:
    raise UserError(
      f'nobody of category {chosen.name!r}, id {chosen.id!r}, has a joint: '
      f'{"; ".join(notes) or "there are no annotations"}.'
    )
  labeled = joints[..., 2] > 0
  table = from_boxes(
    skeleton,
    image=np.array([image.name for image in images]),
    boxes=boxes,
    joints=np.where(labeled[..., None], joints[..., :2], 0),
    labeled=labeled,
    visible=joints[..., 2] == 2,
    image_index=np.array(places),
    person_index=np.array([number for number, _ in people]),
  )
  return table, skeleton, notes


def _select(
  file: File, category: Category, skeleton: Skeleton
) -> tuple[list[Entry], np.ndarray, np.ndarray, dict[str, int]]:
  """Selects the annotations to keep.

  Returns:
    The annotations, their joints f64[P, K, 3], their boxes f64[P, 4], and how
    many were left out, by reason.
  """
  entries = [
    entry
    for entry in enumerate(file.annotations)
    if entry[1].category_id in (None, category.id)
  ]
  people = [entry for entry in entries if not entry[1].iscrowd]
  counts = {
    'annotations of other categories left out': len(file.annotations)
    - len(entries),
    'annotations of crowds left out': len(entries) - len(people),
  }
  joints = _joints(people, skeleton)
  kept = (joints[..., 2] > 0).any(axis=1)
  counts['without a labeled joint left out'] = (~kept).sum()
  people, joints = list(itertools.compress(people, kept)), joints[kept]
  boxes = _boxes(people, joints)
  kept = (boxes[:, 2:] > 0).any(axis=1)
  reason = 'left out, without a box and with all joints in one place'
  counts[reason] = (~kept).sum()
  people = list(itertools.compress(people, kept))
  return people, joints[kept], boxes[kept], counts


def squares(
  file: File, category: str | None, *, room: float
) -> list[tuple[str, float, float, float]]:
  """Lists image, center and side, px, of every box of the category.

  Also of annotations without joints; crowds are left out.
  """
  chosen = _category(file.categories, category).id
  images = {image.id: image.name for image in file.images}
  return [
    (images[entry.image_id], x + w / 2, y + h / 2, room * max(w, h))
    for entry in file.annotations
    if entry.category_id in (None, chosen)
    and not entry.iscrowd
    and entry.box
    and entry.image_id in images
    for x, y, w, h in [entry.box]
  ]


def _where(number: int, annotation: Annotation) -> str:
  if annotation.id is None:
    return f'annotations[{number}]'
  return f'annotation {annotation.id}'


def _require_ids(annotations: list[Annotation]) -> None:
  ids = collections.Counter(a.id for a in annotations if a.id is not None)
  for name, count in ids.most_common(1):
    if count > 1:
      raise UserError(f'annotation {name} is there twice: ids must differ.')


def _category(categories: list[Category], name: str | None) -> Category:
  with_joints = [c for c in categories if c.keypoints]
  names = ', '.join(str(c.name) for c in with_joints)
  if not with_joints:
    raise UserError(
      'no category has "keypoints", the names of its joints; there are '
      f'{", ".join(str(c.name) for c in categories) or "none"}.'
    )
  if name is None:
    if len(with_joints) > 1:
      raise UserError(f'choose one with --category=NAME: {names}.')
    return with_joints[0]
  found = [c for c in with_joints if str(c.name) == name]
  if len(found) != 1:
    raise UserError(
      f'{len(found)} categories with keypoints are called {name!r}; there '
      f'are {names}.'
    )
  return found[0]


def _skeleton(
  category: Category, flip_pairs: Sequence[str] | None, metric: str
) -> Skeleton:
  joints = tuple(map(str, category.keypoints))
  for joint in joints:
    if not (joint.strip() and joint.isprintable()):
      raise UserError(
        f'"keypoints" of category {category.name!r} has {joint!a:.80}; each '
        'must be the name of a joint.'
      )
  if len(set(joints)) < len(joints):
    raise UserError(f'category {category.name!r} names a joint twice.')
  if flip_pairs is None:
    flip = skeleton_lib.flip_by_names(joints)
  else:
    flip = skeleton_lib.flip_by_pairs(joints, flip_pairs)
  limbs = category.skeleton or ()
  if any(not 1 <= joint <= len(joints) for limb in limbs for joint in limb):
    raise UserError(
      f'"skeleton" of category {category.name!r} must be pairs of joints, '
      f'counted from 1 to {len(joints)}.'
    )
  if metric not in METRICS:
    raise UserError(
      f'--metric={metric}: these annotations can have {" or ".join(METRICS)}.'
    )
  return Skeleton(
    joints=joints,
    flip=flip,
    groups=skeleton_lib.groups_of(joints, flip),
    limbs=tuple((a - 1, b - 1) for a, b in limbs),
    metric=metric,
    sigmas=_SIGMAS if joints == _NOSE_TO_ANKLE else (),
  )


def _image_places(people: list[Entry], images: list[Image]) -> list[int]:
  """Returns the place in the file of each person's image."""
  places = {}
  for place, image in enumerate(images):
    if image.id in places:
      raise UserError(f'two images have the id {image.id}.')
    places[image.id] = place
  for number, person in people:
    if person.image_id not in places:
      raise UserError(
        f'{_where(number, person)} is of image {person.image_id!r}, which '
        '"images" lacks: add the image or delete the annotation.'
      )
  return [places[person.image_id] for _, person in people]


def _joints(
  people: list[Entry], skeleton: Skeleton
) -> np.ndarray:  # f64[P, K, 3]: x, y, v; 0 without keypoints
  count = len(skeleton.joints)
  joints = np.zeros((len(people), count, 3))
  for row, (number, person) in enumerate(people):
    points = person.keypoints
    if points is None or not points.size:
      continue
    if points.size != 3 * count:
      raise UserError(
        f'{_where(number, person)} has {points.size} numbers as keypoints; '
        f'{count} joints have {3 * count}: x, y, v of each.'
      )
    joints[row] = points.reshape(count, 3)
  far = (joints[..., 2] != 0) & ~(np.abs(joints) < FARTHEST).all(axis=-1)
  for bad, what in (
    (~np.isin(joints[..., 2], (0, 1, 2)), 'v = {2:g}, which must be 0, 1 or 2'),
    (far, 'x = {0}, y = {1}, which must be px of the image'),
  ):
    for row, joint in np.argwhere(bad)[:1]:
      values = what.format(*joints[row, joint])
      raise UserError(
        f'{_where(*people[row])} has {skeleton.joints[joint]} with {values}.'
      )
  return joints


def _boxes(
  people: list[Entry],
  joints: np.ndarray,  # f64[P, K, 3]
) -> np.ndarray:  # f64[P, 4]: x, y, width, height
  """Returns the boxes, or the joints' extent where a box has no size."""
  for number, person in people:
    box = person.bbox or (0, 0, 0, 0)
    if len(box) != 4 or not all(abs(value) < FARTHEST for value in box):
      raise UserError(
        f'{_where(number, person)} has bbox {box}: x, y, width, height in px.'
      )
  labeled = joints[..., 2:] > 0
  low = np.where(labeled, joints[..., :2], np.inf).min(axis=1)
  high = np.where(labeled, joints[..., :2], -np.inf).max(axis=1)
  boxes = np.concatenate([low, high - low], axis=1)
  for row, (_, person) in enumerate(people):
    if person.box:
      boxes[row] = person.box
  return boxes


def _lost(joints: np.ndarray, boxes: np.ndarray) -> int:
  """Counts the people whose box holds none of their labeled joints."""
  offset = joints[..., :2] - boxes[:, None, :2]
  inside = ((offset >= 0) & (offset <= boxes[:, None, 2:])).all(axis=-1)
  return int((~(inside & (joints[..., 2] > 0)).any(axis=1)).sum())


def _outside(joints: np.ndarray, images: list[Image]) -> int:
  """Counts the labeled joints outside of their images."""
  sizes = [(i.width or np.inf, i.height or np.inf) for i in images]
  points, size = joints[..., :2], np.reshape(sizes, (-1, 1, 2))
  outside = ((points < 0) | (points > size)).any(axis=-1)
  return int((outside & (joints[..., 2] > 0)).sum())
