"""Reads Leeds Sports Pose: joints.mat of LSP and of LSP-extended.

  3 x 14 x N  LSP: x, y and 1 where the joint is hidden; im0001.jpg, ...
  14 x 3 x N  LSP-extended: x, y and 1 where the joint is labeled, so nobody
              knows the others; im00001.jpg, ...

Axes: P people, K = 14 joints.
"""

import dataclasses
from pathlib import Path

import numpy as np

from hg_jax.annotations.people import FARTHEST, People, from_boxes
from hg_jax.base import array_files
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.array_files import UNREADABLE
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton

JOINTS = (
  'r_ankle', 'r_knee', 'r_hip', 'l_hip', 'l_knee', 'l_ankle', 'r_wrist',
  'r_elbow', 'r_shoulder', 'l_shoulder', 'l_elbow', 'l_wrist', 'neck',
  'head_top',
)  # fmt: skip
SKELETON = Skeleton(
  joints=JOINTS,
  flip=skeleton_lib.flip_by_names(JOINTS),
  groups=skeleton_lib.groups_of(JOINTS, skeleton_lib.flip_by_names(JOINTS)),
  limbs=(
    (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (9, 12),
    (9, 10), (10, 11), (12, 13),
  ),
  metric='pck_torso',
)  # fmt: skip
# Of LSP's 2,000 people the first 1,000 train, the others are for testing.
_LSP_PEOPLE, _LSP_TRAINING = 2000, 1000


def is_lsp(path: Path) -> bool:
  """Returns whether a file is a joints.mat."""
  try:
    return 'joints' in array_files.mat_names(path)
  except UNREADABLE:
    return False


def read(
  path: Path, *, metric: str | None = None
) -> tuple[dict[str, People], Skeleton, list[str]]:
  """Reads the people: 'train', and 'valid' for LSP's own test people.

  Args:
    path: joints.mat.
    metric: of `Skeleton`, 'pck_torso' by default.

  Returns:
    The people by split, the skeleton, and a line on who was left out.

  Raises:
    UserError: the file is damaged, has another shape, or has no people.
  """
  array = _array(path)
  if array.ndim == 3 and array.shape[:2] == (3, 14):
    joints, digits = array.transpose(2, 1, 0), 4
    labeled = np.isfinite(joints[..., :2]).all(axis=-1)
    visible = labeled & (joints[..., 2] == 0)
  elif array.ndim == 3 and array.shape[:2] == (14, 3):
    joints, digits = array.transpose(2, 0, 1), 5
    labeled = (joints[..., 2] != 0) & np.isfinite(joints).all(axis=-1)
    visible = labeled
  else:
    raise UserError(
      f'{path} has joints of shape {array.shape}; LSP has (3, 14, N), '
      'LSP-extended (14, 3, N).'
    )
  skeleton = dataclasses.replace(SKELETON, metric=metric or SKELETON.metric)
  numbers = np.arange(len(joints))
  places = np.where(labeled[..., None], joints[..., :2], 0)
  extents = [_extent(p[at]) for p, at in zip(places, labeled, strict=True)]
  kept = np.array([extent is not None for extent in extents], bool)
  _require_usable(path, places, kept)
  people = from_boxes(
    skeleton,
    image=np.array([f'im{n + 1:0{digits}d}.jpg' for n in numbers])[kept],
    boxes=np.array([extent for extent in extents if extent is not None]),
    joints=places[kept],
    labeled=labeled[kept],
    visible=visible[kept],
    image_index=numbers[kept],
    person_index=np.zeros(kept.sum(), int),
  )
  gone = int((~kept).sum())
  notes = [f'{gone} people without two labeled joints left out'] if gone else []
  if len(joints) != _LSP_PEOPLE or digits == 5:
    return {'train': people}, skeleton, notes
  train = people.image_index < _LSP_TRAINING
  return {'train': people[train], 'valid': people[~train]}, skeleton, notes


def _array(path: Path) -> np.ndarray:  # f64[...]
  with array_files.reading(path):
    joints = array_files.read_mat(path, ['joints'])['joints']
    if joints.dtype.kind not in 'buif':
      raise TypeError('its joints are not numbers')
    return np.asarray(joints, np.float64)


def _require_usable(
  path: Path,
  places: np.ndarray,  # f64[P, K, 2]
  kept: np.ndarray,  # bool[P]
) -> None:
  if not kept.any():
    raise UserError(
      f'{path} has {len(kept)} people, and none with two labeled joints.'
    )
  if (far := np.abs(places).max(axis=(1, 2)) >= FARTHEST).any():
    raise UserError(
      f'{path} has joints of person {int(far.argmax()) + 1} that are not in px '
      'of an image.'
    )


def _extent(points: np.ndarray) -> tuple[float, ...] | None:
  """Returns the box around points, x, y, width, height; None without a size."""
  if not len(points):
    return None
  low, high = points.min(axis=0), points.max(axis=0)
  return (*low, *(high - low)) if (high > low).any() else None
