"""COCO keypoints JSON: people, or anything else, with joints of any names.

  {"images": [{"id": 7, "file_name": "a.jpg"}, ...],
   "categories": [{"id": 1, "name": "horse", "keypoints": ["nose", ...],
                   "skeleton": [[1, 2], ...]}, ...],
   "annotations": [{"image_id": 7, "category_id": 1, "bbox": [x, y, w, h],
                    "keypoints": [x, y, v, ...], "iscrowd": 0}, ...]}

v is 0 where a joint is not labeled, so nobody knows of it; 1 where it is
hidden and 2 where it is seen. 'skeleton' (pairs counted from 1), 'bbox' and
'iscrowd' may be absent.

Axes: P people, K joints.
"""

import collections
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

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


def is_coco(contents: Any) -> bool:
  """Whether a JSON file's contents are of this form."""
  keys = {'images', 'annotations', 'categories'}
  return isinstance(contents, dict) and keys <= contents.keys()


def read(
  contents: dict[str, Any],
  *,
  category: str | None = None,
  flip_pairs: Sequence[str] | None = None,
  metric: str | None = None,
) -> tuple[People, Skeleton, list[str]]:
  """Reads everyone of one category who has at least one joint.

  Args:
    contents: of the JSON file.
    category: the name of the category; needed if several have keypoints.
    flip_pairs: the mirror pairs, each as 'a:b'; by default those of the names.
    metric: of `Skeleton`, 'pck_box' by default.

  Returns:
    The people, in the file's order; the skeleton; and lines on who was left
    out. `People.reference` is 0 where it cannot be measured.

  Raises:
    UserError: names the entry that is wrong.
  """
  for name in ('images', 'annotations', 'categories'):
    if not isinstance(contents[name], list):
      raise UserError(f'"{name}" must be a list of objects.')
  chosen = _category(contents['categories'], category)
  skeleton = _skeleton(chosen, flip_pairs, metric or METRICS[0])
  images = _images(contents['images'])
  rows, ids, counts = [], set(), collections.Counter()
  for number, annotation in enumerate(contents['annotations']):
    where = _where(annotation, number, ids)
    if annotation.get('category_id', chosen['id']) != chosen['id']:
      counts['annotations of other categories left out'] += 1
    elif _number(annotation, 'iscrowd', where):
      counts['annotations of crowds left out'] += 1
    elif (joints := _joints(annotation, where, skeleton)) is None:
      counts['without a labeled joint left out'] += 1
    elif (box := _box(annotation, where, joints)) is None:
      counts['left out, of no box and no two places of joints'] += 1
    elif annotation['image_id'] not in images:
      raise UserError(
        f'{where} is of image {annotation["image_id"]!r}, which "images" '
        'lacks: add the image or delete the annotation.'
      )
    else:
      image_index, name, size = images[annotation['image_id']]
      rows.append((name, joints, box, image_index, number))
      counts['people whose box holds none of their joints kept'] += not _inside(
        joints, box
      )
      counts['joints outside of their images kept'] += _outside(joints, size)
  notes = [f'{count:,} {what}' for what, count in counts.items() if count]
  if not rows:
    raise UserError(
      f'nobody of category {chosen["name"]!r}, id {chosen["id"]!r}, has a '
      f'joint: '
      f'{"; ".join(notes) or "there are no annotations"}.'
    )
  return _people(rows, skeleton), skeleton, notes


def sizes(contents: dict[str, Any]) -> dict[str, tuple[float, float]]:
  """Lists the width and height, px, of the images of which both are given.

  Args:
    contents: of the JSON file, as `read` takes it.
  """
  return {
    name: size
    for _, name, size in _images(contents['images']).values()
    if np.isfinite(size).all()
  }


def squares(
  contents: dict[str, Any], category: str | None, *, room: float
) -> list[tuple[str, float, float, float]]:
  """Lists image, center and side, px, of every box of the category.

  Also of annotations without joints; crowds are left out.
  """
  chosen = _category(contents['categories'], category)['id']
  images = _images(contents['images'])
  found = []
  for number, annotation in enumerate(contents['annotations']):
    where = f'annotation {number + 1}'
    box = annotation.get('bbox') or ()
    if (
      annotation.get('category_id', chosen) == chosen
      and not _number(annotation, 'iscrowd', where)
      and len(box) == 4
      and min(box[2:]) > 0
      and annotation['image_id'] in images
    ):
      x, y, w, h = box
      name = images[annotation['image_id']][1]
      found.append((name, x + w / 2, y + h / 2, room * max(w, h)))
  return found


def _where(annotation: Any, number: int, ids: set) -> str:
  """Names an annotation; its id is seen for the first time."""
  where = f'annotation {number + 1}'
  if not isinstance(annotation, dict) or not _is_id(annotation, 'image_id'):
    raise UserError(f'{where} has no image_id.')
  if (name := annotation.get('id')) is not None:
    if not _is_id(annotation, 'id'):
      raise UserError(f'{where} has the id {name}, no number or text.')
    where = f'annotation {name}'
    if name in ids:
      raise UserError(f'{where} is there twice: ids must differ.')
    ids.add(name)
  return where


def _is_id(entry: dict, name: str) -> bool:
  return isinstance(entry.get(name), int | float | str)


def _number(entry: dict, name: str, where: str) -> float:
  """A number, which may be text; 0 where it is absent or null."""
  try:
    number = float(entry.get(name) or 0)
  except (OverflowError, TypeError, ValueError):
    number = np.nan
  if not np.isfinite(number):
    raise UserError(f'{where} has {name} {entry[name]!r}, which is no number.')
  return number


def _category(categories: list[dict], name: str | None) -> dict:
  for number, category in enumerate(categories):
    if not isinstance(category, dict) or not {'id', 'name'} <= category.keys():
      raise UserError(f'category {number + 1} has no id or no name.')
  with_joints = [c for c in categories if c.get('keypoints')]
  names = ', '.join(str(c['name']) for c in with_joints)
  if not with_joints:
    raise UserError(
      'no category has "keypoints", the names of its joints; there are '
      f'{", ".join(str(c.get("name")) for c in categories) or "none"}.'
    )
  if name is None:
    if len(with_joints) > 1:
      raise UserError(f'choose one with --category=NAME: {names}.')
    return with_joints[0]
  found = [c for c in with_joints if str(c['name']) == name]
  if len(found) != 1:
    raise UserError(
      f'{len(found)} categories with keypoints are called {name!r}; there '
      f'are {names}.'
    )
  return found[0]


def _skeleton(
  category: dict, flip_pairs: Sequence[str] | None, metric: str
) -> Skeleton:
  if not isinstance(category['keypoints'], list):
    raise UserError(
      f'"keypoints" of category {category["name"]!r} must be a list of names.'
    )
  for joint in category['keypoints']:
    if not _is_joint_name(joint):
      raise UserError(
        f'"keypoints" of category {category["name"]!r} has {joint!a:.80}; each '
        'must be the name of a joint.'
      )
  joints = tuple(str(joint) for joint in category['keypoints'])
  if len(set(joints)) < len(joints):
    raise UserError(f'category {category["name"]!r} names a joint twice.')
  if flip_pairs is None:
    flip = skeleton_lib.flip_by_names(joints)
  else:
    flip = skeleton_lib.flip_by_pairs(joints, flip_pairs)
  numbers = range(1, len(joints) + 1)
  try:
    limbs = [(a, b) for a, b in category.get('skeleton') or ()]
  except (TypeError, ValueError):
    limbs = [(0, 0)]
  # 1.0 is in this range, '1' and 1.5 are not.
  if any(joint not in numbers for limb in limbs for joint in limb):
    raise UserError(
      f'"skeleton" of category {category["name"]!r} must be pairs of joints, '
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
    limbs=tuple((int(a) - 1, int(b) - 1) for a, b in limbs),
    metric=metric,
    sigmas=_SIGMAS if joints == _NOSE_TO_ANKLE else (),
  )


def _is_joint_name(joint: Any) -> bool:
  """Whether it is a number or a line of text, which a report can hold."""
  try:
    str(joint).encode()
  except UnicodeEncodeError:
    return False
  return isinstance(joint, int | str) and bool(
    str(joint).strip() and len(str(joint).splitlines()) == 1
  )


def _images(
  entries: list[dict],
) -> dict[Any, tuple[int, str, tuple[float, float]]]:
  """Returns each image's place in the file, name, width and height, by id."""
  images = {}
  for index, entry in enumerate(entries):
    where = f'image {index + 1}'
    if not (
      isinstance(entry, dict)
      and _is_id(entry, 'id')
      and isinstance(entry.get('file_name'), str)
      and entry['file_name']
    ):
      raise UserError(f'{where} has no id or no file_name.')
    if entry['id'] in images:
      raise UserError(f'two images have the id {entry["id"]}.')
    name = entry['file_name'].replace('\\', '/')
    width, height = (_number(entry, n, where) for n in ('width', 'height'))
    if width < 0 or height < 0:
      raise UserError(
        f'{where} has width {width:g} and height {height:g}; they must be px.'
      )
    size = width or np.inf, height or np.inf
    images[entry['id']] = index, str(PurePosixPath(name)), size
  return images


def _joints(
  annotation: dict, where: str, skeleton: Skeleton
) -> np.ndarray | None:  # f64[K, 3]: x, y, v
  """Reads the joints; None if none is labeled."""
  values = annotation.get('keypoints') or []
  count = len(skeleton.joints)
  if not values:
    return None
  try:
    joints = np.array(values, np.float64)
  except (OverflowError, TypeError, ValueError):
    raise UserError(f'{where} has keypoints that are not numbers.') from None
  if joints.shape != (3 * count,):
    raise UserError(
      f'{where} has {joints.size} numbers as keypoints; {count} joints have '
      f'{3 * count}: x, y, v of each.'
    )
  joints = joints.reshape(count, 3)
  labeled = joints[:, 2] != 0
  for bad, what in (
    (~np.isin(joints[:, 2], (0, 1, 2)), 'v = {2:g}, which must be 0, 1 or 2'),
    (
      labeled & ~(np.abs(joints) < FARTHEST).all(axis=1),
      'x = {0}, y = {1}, which must be px of the image',
    ),
  ):
    if bad.any():
      joint = int(bad.argmax())
      values = what.format(*joints[joint])
      raise UserError(f'{where} has {skeleton.joints[joint]} with {values}.')
  return joints if labeled.any() else None


def _outside(joints: np.ndarray, size: tuple[float, float]) -> int:
  """Counts the labeled joints outside of an image of this size."""
  points = joints[joints[:, 2] > 0, :2]
  return int(((points < 0) | (points > size)).any(axis=1).sum())


def _inside(joints: np.ndarray, box: tuple[float, float, float, float]) -> bool:
  """Whether a labeled joint is in the box."""
  points = joints[joints[:, 2] > 0, :2]
  low, size = np.reshape(box, (2, 2))
  return bool(((points >= low) & (points - low <= size)).all(axis=1).any())


def _box(
  annotation: dict, where: str, joints: np.ndarray
) -> tuple[float, float, float, float] | None:
  """The box, or the extent of the joints where there is none of any size."""
  if box := annotation.get('bbox'):
    try:
      if not isinstance(box, list):
        raise TypeError
      x, y, w, h = (float(value) for value in box)
    except (OverflowError, TypeError, ValueError):
      x = y = w = h = np.nan
    if not (np.abs([x, y, w, h]) < FARTHEST).all():
      raise UserError(f'{where} has bbox {box}: x, y, width, height in px.')
    if w > 0 and h > 0:
      return x, y, w, h
  points = joints[joints[:, 2] > 0, :2]
  (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
  if max(right - x, bottom - y) <= 0:
    return None
  return x, y, right - x, bottom - y


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
