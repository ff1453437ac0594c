"""Makes people and their skeleton of COCO keypoints JSON, see `coco_file`.

Axes: P people, K joints.
"""

import collections
from collections.abc import Sequence

import numpy as np

from hg_jax.annotations.coco_file import Annotation, Category, File, Id, Image
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
  images = _images(file.images)
  rows, ids, counts = [], set(), collections.Counter()
  for number, annotation in enumerate(file.annotations):
    where = _where(annotation, number, ids)
    if annotation.category_id not in (None, chosen.id):
      counts['annotations of other categories left out'] += 1
    elif annotation.iscrowd:
      counts['annotations of crowds left out'] += 1
    elif (joints := _joints(annotation, where, skeleton)) is None:
      counts['without a labeled joint left out'] += 1
    elif (box := _box(annotation, where, joints)) is None:
      counts['left out, without a box and with all joints in one place'] += 1
    elif annotation.image_id not in images:
      raise UserError(
        f'{where} is of image {annotation.image_id!r}, which "images" lacks: '
        'add the image or delete the annotation.'
      )
    else:
      index = images[annotation.image_id]
      image = file.images[index]
      rows.append((image.name, joints, box, index, number))
      counts['people whose box holds none of their joints kept'] += not _inside(
        joints, box
      )
      counts['joints outside of their images kept'] += _outside(joints, image)
  notes = [f'{count:,} {what}' for what, count in counts.items() if count]
  if not rows:
    raise UserError(
      f'nobody of category {chosen.name!r}, id {chosen.id!r}, has a joint: '
      f'{"; ".join(notes) or "there are no annotations"}.'
    )
  return _people(rows, skeleton), skeleton, notes


def _where(annotation: Annotation, number: int, ids: set) -> str:
  """Names an annotation, and refuses an id that was seen before."""
  if annotation.id is None:
    return f'annotations[{number}]'
  if annotation.id in ids:
    raise UserError(
      f'annotation {annotation.id} is there twice: ids must differ.'
    )
  ids.add(annotation.id)
  return f'annotation {annotation.id}'


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


def _images(images: list[Image]) -> dict[Id, int]:
  """Returns each image's place in the file by its id."""
  places = {}
  for place, image in enumerate(images):
    if image.id in places:
      raise UserError(f'two images have the id {image.id}.')
    places[image.id] = place
  return places


def _joints(
  annotation: Annotation, where: str, skeleton: Skeleton
) -> np.ndarray | None:  # f64[K, 3]: x, y, v
  """Returns the joints, or None if none is labeled."""
  joints, count = annotation.keypoints, len(skeleton.joints)
  if joints is None or not joints.size:
    return None
  if joints.size != 3 * count:
    raise UserError(
      f'{where} has {joints.size} numbers as keypoints; {count} joints have '
      f'{3 * count}: x, y, v of each.'
    )
  joints = joints.reshape(count, 3)
  labeled = joints[:, 2] != 0
  far = labeled & ~(np.abs(joints) < FARTHEST).all(axis=1)
  for bad, what in (
    (~np.isin(joints[:, 2], (0, 1, 2)), 'v = {2:g}, which must be 0, 1 or 2'),
    (far, 'x = {0}, y = {1}, which must be px of the image'),
  ):
    if bad.any():
      joint = int(bad.argmax())
      values = what.format(*joints[joint])
      raise UserError(f'{where} has {skeleton.joints[joint]} with {values}.')
  return joints if labeled.any() else None


def _outside(joints: np.ndarray, image: Image) -> int:
  """Counts the labeled joints outside of an image."""
  points = joints[joints[:, 2] > 0, :2]
  size = image.width or np.inf, image.height or np.inf
  return int(((points < 0) | (points > size)).any(axis=1).sum())


def _inside(joints: np.ndarray, box: Sequence[float]) -> bool:
  """Returns whether a labeled joint lies in the box."""
  points = joints[joints[:, 2] > 0, :2]
  low, size = np.reshape(box, (2, 2))
  return bool(((points >= low) & (points - low <= size)).all(axis=1).any())


def _box(
  annotation: Annotation, where: str, joints: np.ndarray
) -> Sequence[float] | None:
  """Returns the box, or the joints' extent where the box has no size."""
  if box := annotation.bbox:
    if len(box) != 4 or not (np.abs(box) < FARTHEST).all():
      raise UserError(f'{where} has bbox {box}: x, y, width, height in px.')
    if annotation.box:
      return box
  points = joints[joints[:, 2] > 0, :2]
  low, size = points.min(axis=0), np.ptp(points, axis=0)
  return (*low, *size) if size.any() else None


def _people(rows: list[tuple], skeleton: Skeleton) -> People:
  names, joints, boxes, image_index, person_index = zip(*rows, strict=True)
  joints = np.array(joints)
  labeled = joints[..., 2] > 0
  return from_boxes(
    skeleton,
    image=np.array(names),
    boxes=np.array(boxes),
    joints=np.where(labeled[..., None], joints[..., :2], 0),
    labeled=labeled,
    visible=joints[..., 2] == 2,
    image_index=np.array(image_index),
    person_index=np.array(person_index),
  )
