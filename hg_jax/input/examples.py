"""Draws examples: person, map, colors and target joints, but no pixels.

From the same examples `input_pipeline` makes inputs on the host, and
`resident` on the device. This file needs only NumPy.

Axes: B batch, K joints, P people.
"""

import dataclasses

import numpy as np

from hg_jax.base import affine
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.input import augmentation
from hg_jax.input.records import Crops
from hg_jax.model.heatmaps import STRIDE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
  """B examples.

  Attributes:
    row: i32[B], rows of the crops.
    crop_to_input: f64[B, 3, 3], px of the stored crop to px of the input.
    color: f32[B, 3, 4], [r, g, b, 1] -> [r, g, b], gray levels 0..255.
    joints: f32[B, K, 2], px of the heatmaps. In a mirrored example left joints
      are right ones.
    labeled: bool[B, K], joints that have a position.
    known: bool[B, K], joints that the loss counts.
  """

  row: np.ndarray
  crop_to_input: np.ndarray
  color: np.ndarray
  joints: np.ndarray
  labeled: np.ndarray
  known: np.ndarray


def training(
  crops: Crops, config: Config, *, first: int, count: int
) -> Examples:
  """Draws training examples first .. first + count - 1."""
  which = {'seed': config.seed, 'first': first, 'count': count}
  if crops.shares:
    row = augmentation.shared_rows(crops.shares, **which)
  else:
    row = augmentation.rows(len(crops), **which)
  changes = augmentation.sample(config.augment, **which)
  people = crops.people[row]
  image_to_input = affine.image_to_crop(
    people.center,
    people.side * changes.scale,
    config.data.image_size,
    rotation=changes.rotation,
    flip=changes.flip,
  )
  return _examples(
    crops, row, image_to_input, changes.color_matrix(), changes.flip
  )


def evaluation(
  crops: Crops, config: Config, *, first: int, count: int
) -> tuple[Examples, dict[str, np.ndarray]]:
  """Makes examples without changes of people first .. first + count - 1.

  Returns:
    The examples, and the truth for their predictions: 'heatmap_to_image'
    f32[B, 3, 3], 'joints' f32[B, K, 2] px of the image, 'labeled' and
    'visible' bool[B, K], 'reference' f32[B] px of the image, and 'mask'
    bool[B], False for padding, which repeats the last person.
  """
  index = np.arange(first, first + count)
  row = np.minimum(index, len(crops) - 1)
  people = crops.people[row]
  image_to_input = affine.image_to_crop(
    people.center, people.side, config.data.image_size
  )
  heatmap_to_image = affine.scale(STRIDE) @ np.linalg.inv(image_to_input)
  unflipped = np.zeros(count, bool)
  colors = np.broadcast_to(np.eye(3, 4, dtype=np.float32), (count, 3, 4))
  return _examples(crops, row, image_to_input, colors, unflipped), {
    'heatmap_to_image': heatmap_to_image.astype(np.float32),
    'joints': people.joints,
    'labeled': people.labeled,
    'visible': people.visible,
    'reference': people.reference,
    'mask': index < len(crops),
  }


def _examples(
  crops: Crops,
  row: np.ndarray,
  image_to_input: np.ndarray,  # f64[B, 3, 3]
  color: np.ndarray,
  flip: np.ndarray,  # bool[B]
) -> Examples:
  people = crops.people[row]
  joints = affine.apply(people.joints, image_to_input) / STRIDE
  order = np.where(
    flip[:, None], crops.skeleton.flip, np.arange(joints.shape[1])
  )
  return Examples(
    row=row.astype(np.int32),
    crop_to_input=np.linalg.inv(crops.image_to_crop[row]) @ image_to_input,
    color=color,
    joints=np.take_along_axis(joints, order[..., None], 1).astype(np.float32),
    labeled=np.take_along_axis(people.labeled, order, 1),
    known=np.take_along_axis(people.known, order, 1),
  )


def check_margin(crops: Crops, config: Config) -> None:
  """Raises a UserError if the crops are too narrow for the augmentation."""
  needed = augmentation.margin(config.augment)
  if needed > crops.margin * 1.001:
    raise UserError(
      f'config.augment reaches {needed:.3f} times the side of the person, '
      f'the prepared crops {crops.margin:.3f} times; lower its rotation or '
      f'scale, or prepare with --margin={needed:.3f}.'
    )
