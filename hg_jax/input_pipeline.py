"""From prepared crops in memory to batches, with tf.data.

A training batch is a pure function of (config, step). Each tf.data thread
makes whole batches in NumPy and OpenCV, which work outside Python's lock:
decode the JPEG, one warp to the network's input, one color matrix, heatmaps.
Axes: B batch, S input px, H = S // 4 heatmap px, K joints.
"""

import os
from collections.abc import Iterator

import cv2
import numpy as np
import tensorflow as tf

from hg_jax import affine, augmentation, heatmaps
from hg_jax.command import UserError
from hg_jax.config import Config
from hg_jax.mpii import SKELETON
from hg_jax.records import Crops

STRIDE = 4  # input px per heatmap px


def train_batches(
  crops: Crops,
  config: Config,
  *,
  start: int,
  process: int = 0,
  processes: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
  """The batches of steps `start` .. config.steps - 1, of this process.

  Yields:
    'image' u8[B, S, S, 3] RGB and 'heatmaps' f32[B, H, H, K], where B is the
    config's batch size divided by the number of processes.

  Raises:
    UserError: the crops are too narrow for the augmentation asked for.
  """
  needed = augmentation.margin(config.augment)
  if needed > crops.margin * 1.001:
    raise UserError(
      f'config.augment reaches {needed:.3f} times the side of the person, '
      f'the prepared crops {crops.margin:.3f} times; lower its rotation or '
      f'scale, or prepare with --margin={needed:.3f}.'
    )
  local = config.batch_size // processes

  def batch(step: np.int64) -> list[np.ndarray]:
    first = int(step) * config.batch_size + process * local
    return list(train_batch(crops, config, first=first, count=local).values())

  return _stream(batch, range(start, config.steps), ('image', 'heatmaps'))


def train_batch(
  crops: Crops, config: Config, *, first: int, count: int
) -> dict[str, np.ndarray]:
  """Examples first .. first + count - 1, as `train_batches` yields them."""
  rows = augmentation.rows(
    len(crops), seed=config.seed, first=first, count=count
  )
  changes = augmentation.sample(
    config.augment, seed=config.seed, first=first, count=count
  )
  people = crops.people[rows]
  size = config.data.image_size
  image_to_input = affine.image_to_crop(
    people.center,
    people.side * changes.scale,
    size,
    rotation=changes.rotation,
    flip=changes.flip,
  )
  return {
    'image': _inputs(crops, rows, image_to_input, changes.color_matrix(), size),
    'heatmaps': targets(
      affine.apply(people.joints, image_to_input),
      people.labeled,
      config,
      flip=changes.flip,
    ),
  }


def evaluation_batches(
  crops: Crops, config: Config, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
  """Every person once, unchanged, in order; the last batch is padded.

  Yields:
    'image' u8[B, S, S, 3], 'heatmaps' f32[B, H, H, K], 'heatmap_to_image'
    f32[B, 3, 3], 'joints' f32[B, K, 2] px of the image, 'labeled' and
    'visible' bool[B, K], 'head_size' f32[B] px of the image, and 'mask'
    bool[B], False for padding, which repeats the last person.
  """
  size = config.data.image_size
  names = ('image', 'heatmaps', 'heatmap_to_image', 'joints', 'labeled')
  names += ('visible', 'head_size', 'mask')

  def batch(number: np.int64) -> list[np.ndarray]:
    index = np.arange(batch_size) + int(number) * batch_size
    rows = np.minimum(index, len(crops) - 1)
    people = crops.people[rows]
    image_to_input = affine.image_to_crop(people.center, people.side, size)
    heatmap_to_image = affine.scale(STRIDE) @ np.linalg.inv(image_to_input)
    return [
      _inputs(crops, rows, image_to_input, None, size),
      targets(
        affine.apply(people.joints, image_to_input), people.labeled, config
      ),
      heatmap_to_image.astype(np.float32),
      people.joints,
      people.labeled,
      people.visible,
      people.head_size,
      index < len(crops),
    ]

  return _stream(batch, range(-(-len(crops) // batch_size)), names)


def targets(
  joints: np.ndarray,  # f64[B, K, 2] px of the input
  labeled: np.ndarray,  # bool[B, K]
  config: Config,
  *,
  flip: np.ndarray | bool = False,  # bool[B]: the input is mirrored
) -> np.ndarray:  # f32[B, H, H, K]
  """Renders what the network shall answer; in a mirror, left is right."""
  flip = np.broadcast_to(flip, (len(joints),))
  order = np.where(flip[:, None], SKELETON.flip, np.arange(len(SKELETON.flip)))
  return heatmaps.render(
    np.take_along_axis(joints, order[..., None], axis=1) / STRIDE,
    np.take_along_axis(labeled, order, axis=1),
    size=config.data.image_size // STRIDE,
    sigma=config.data.sigma,
  )


def _inputs(
  crops: Crops,
  rows: np.ndarray,
  image_to_input: np.ndarray,  # f64[B, 3, 3]
  color_matrix: np.ndarray | None,  # f32[B, 3, 4]
  size: int,
) -> np.ndarray:  # u8[B, S, S, 3]
  crop_to_input = np.linalg.inv(crops.image_to_crop[rows]) @ image_to_input
  images = np.empty((len(rows), size, size, 3), np.uint8)
  for i, row in enumerate(rows):
    encoded = np.frombuffer(crops.encoded[row], np.uint8)
    crop = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    crop = cv2.warpAffine(
      crop,
      affine.to_opencv(crop_to_input[i]),
      (size, size),
      flags=cv2.INTER_LINEAR,
    )
    # OpenCV's blue, green, red becomes red, green, blue on the way.
    if color_matrix is None:
      cv2.cvtColor(crop, cv2.COLOR_BGR2RGB, dst=images[i])
    else:
      bgr_to_rgb = color_matrix[i][:, [2, 1, 0, 3]]
      cv2.transform(crop, bgr_to_rgb, dst=images[i])
  return images


def _stream(batch, steps: range, names: tuple[str, ...]) -> Iterator:
  """Maps `batch` over `steps`, in order, on every core, some ahead."""
  # One thread per batch; OpenCV's own would fight them for the cores.
  cv2.setNumThreads(1)
  tf.config.set_visible_devices([], 'GPU')
  sample = batch(np.int64(steps.start))
  types = [tf.as_dtype(array.dtype) for array in sample]
  dataset = tf.data.Dataset.range(steps.start, steps.stop)
  dataset = dataset.map(
    lambda step: tf.numpy_function(batch, [step], types),
    num_parallel_calls=os.cpu_count(),
    deterministic=True,
  )
  for tensors in dataset.prefetch(2):
    # `tensor.numpy()` would copy; nobody writes to these arrays.
    arrays = [np.asarray(memoryview(tensor)) for tensor in tensors]
    yield dict(zip(names, arrays, strict=True))
