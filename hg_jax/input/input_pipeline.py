"""Makes batches from prepared crops in memory, with tf.data and OpenCV.

A training batch is a pure function of (config, step). Each thread of tf.data
makes whole batches: it decodes the JPEGs, warps them to the network's input,
maps their colors and renders heatmaps. NumPy and OpenCV release Python's lock.

Axes: B batch, S input px, H = S // 4 heatmap px, K joints.
"""

import os
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import tensorflow as tf

from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.input import crops as cropping
from hg_jax.input import examples, photo_examples
from hg_jax.input.examples import Examples
from hg_jax.input.photo_records import Photos
from hg_jax.input.records import Crops
from hg_jax.model import heatmaps

Batch = dict[str, np.ndarray]


def train_batches(
  crops: Crops | Photos,
  config: Config,
  *,
  start: int,
  process: int = 0,
  processes: int = 1,
  threads: int | None = None,
) -> Iterator[Batch]:
  """Yields this process's batches of steps `start` .. config.steps - 1.

  Args:
    crops: the training people, or photos; every process has all of them.
    config: the run's.
    start: the first step.
    process: the number of this process.
    processes: the number of processes, which share each batch.
    threads: how many batches to make at a time; by default one per core.

  Yields:
    'image' u8[B, S, S, 3] RGB, 'heatmaps' f32[B, H, H, K] and 'known'
    bool[B, K], where B is the config's batch size divided by the number of
    processes. Of photos it is what `photo_examples.train_batch` makes.

  Raises:
    UserError: the crops are too narrow for the augmentation, or one cannot
      be decoded.
  """
  local = config.batch_size // processes
  if config.task == 'joints':
    examples.check_margin(crops, config)
  make = {'joints': train_batch, 'people': photo_examples.train_batch}

  def batch(step: int) -> Batch:
    first = step * config.batch_size + process * local
    return make[config.task](crops, config, first=first, count=local)

  return _stream(batch, range(start, config.steps), threads)


def train_batch(
  crops: Crops, config: Config, *, first: int, count: int
) -> Batch:
  """Makes a batch of examples first .. first + count - 1."""
  drawn = examples.training(crops, config, first=first, count=count)
  return make_batch(crops, drawn, config)


def evaluation_batches(
  crops: Crops, config: Config, batch_size: int, numbers: range | None = None
) -> Iterator[Batch]:
  """Yields every person once, without changes, in order.

  The last batch is padded. `numbers` selects batches; by default all are made.

  Yields:
    'image' u8[B, S, S, 3], 'heatmaps' f32[B, H, H, K], 'known' bool[B, K],
    and the truth of `examples.evaluation`.
  """

  def batch(number: int) -> Batch:
    people, facts = examples.evaluation(
      crops, config, first=number * batch_size, count=batch_size
    )
    return make_batch(crops, people, config) | facts

  return _stream(batch, numbers or range(-(-len(crops) // batch_size)))


def make_batch(crops: Crops, drawn: Examples, config: Config) -> Batch:
  """Makes a batch of examples, as `train_batches` yields it."""
  size = config.data.image_size
  inputs = np.empty((len(drawn.row), size, size, 3), np.uint8)
  for i, row in enumerate(drawn.row):
    crop = cropping.warp(crops.decode(row), drawn.crop_to_input[i], size)
    cv2.transform(crop, drawn.color[i], dst=inputs[i])
  return {
    'image': inputs,
    'heatmaps': render_targets(drawn, config),
    'known': drawn.known,
  }


def render_targets(
  drawn: Examples, config: Config
) -> np.ndarray:  # f32[B, H, H, K]
  """Renders the target heatmaps."""
  return heatmaps.render(
    drawn.joints,
    drawn.labeled,
    size=config.data.image_size // heatmaps.STRIDE,
    sigma=config.data.sigma,
  )


def _stream(
  batch: Callable[[int], Batch], steps: range, threads: int | None = None
) -> Iterator[Batch]:
  """Yields `batch` of each step in order, computed ahead on every core."""
  # There is one thread per batch; OpenCV must not start more.
  cv2.setNumThreads(1)
  tf.config.set_visible_devices([], 'GPU')
  sample = batch(steps.start)
  errors = []

  def arrays(step: np.int64) -> list[np.ndarray]:
    try:
      return list(batch(int(step)).values())
    except UserError as error:
      errors.append(error)
      raise

  dataset = tf.data.Dataset.range(steps.start, steps.stop, steps.step).map(
    lambda step: tf.numpy_function(
      arrays, [step], [tf.as_dtype(array.dtype) for array in sample.values()]
    ),
    num_parallel_calls=threads or _cores(),
    deterministic=True,
  )
  try:
    for tensors in dataset.prefetch(2):
      # Unlike `tensor.numpy()`, this does not copy. Nobody writes to them.
      views = [np.asarray(memoryview(tensor)) for tensor in tensors]
      yield dict(zip(sample, views, strict=True))
  except tf.errors.OpError:
    # TensorFlow wraps an error of a thread in twenty lines of its own.
    if errors:
      raise errors[0] from None
    raise


def _cores() -> int:
  """Returns the number of cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
