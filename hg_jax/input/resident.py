"""Keeps prepared crops on the device, and makes inputs there.

With `config.data.resident` a split is decoded once, to uint8 on every device.
For a batch, only rows, maps, colors and joints travel to the device, a
kilobyte a person; it warps the crops, maps their colors and renders heatmaps.
This needs no host cores and no TensorFlow. `input_pipeline` makes the same
inputs on the host from the same `examples`; pixels differ by at most a gray
level.

Axes: P people, D devices, B batch, C crop px, S input px, H = S // 4 heatmap
px, K joints.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hg_jax.base import affine
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.input import examples
from hg_jax.input.examples import Examples
from hg_jax.input.records import Crops
from hg_jax.model import heatmaps

COLOR_UNIT = 1024  # OpenCV computes the colors of bytes in 1/1024
_CHUNK = 256  # crops, decoded on the host at a time


def store(
  crops: Crops, devices: Sequence[jax.Device]
) -> jax.Array:  # u8[P, C, C, 3] RGB, whole on every device
  """Decodes a split onto the devices.

  A crop smaller than the largest is placed in the top-left corner. The rest is
  black, as `warp` fills in what lies outside a crop.

  Raises:
    UserError: a device does not have enough memory.
  """
  shape = (len(crops), crops.size, crops.size, 3)
  _require_memory(shape, devices)
  mesh = Mesh(np.array(devices), ('batch',))
  whole = NamedSharding(mesh, PartitionSpec())
  stored = jnp.zeros(shape, jnp.uint8, device=whole)
  cv2.setNumThreads(1)
  with ThreadPool() as pool:
    for first in range(0, len(crops), _CHUNK):
      rows = range(first, min(first + _CHUNK, len(crops)))
      part = np.zeros((len(rows), *shape[1:]), np.uint8)
      pool.starmap(partial(_decode_into, crops), zip(part, rows, strict=True))
      stored = _update(stored, jax.device_put(part, whole), first)
  return stored.block_until_ready()


@partial(jax.jit, donate_argnums=0)
def _update(stored: jax.Array, part: jax.Array, first: int) -> jax.Array:
  return jax.lax.dynamic_update_slice_in_dim(stored, part, first, 0)


def _decode_into(crops: Crops, crop: np.ndarray, row: int) -> None:
  decoded = crops.decode(row)
  height, width = decoded.shape[:2]
  cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=crop[:height, :width])


def _require_memory(
  shape: tuple[int, ...], devices: Sequence[jax.Device]
) -> None:
  needed = np.prod(shape, dtype=np.int64)
  for device in devices:
    free = _free_bytes(device)
    if free is not None and needed > free:
      raise UserError(
        f'config.data.resident needs {needed / 1e9:.1f} GB on each device for '
        f'{shape[0]:,} crops of {shape[1]} px, and {device} has '
        f'{free / 1e9:.1f} GB free; leave it off, or prepare with a smaller '
        '--size.'
      )


def _free_bytes(device: jax.Device) -> int | None:
  """Returns the free memory of a device, for a CPU its part of the host's."""
  stats = device.memory_stats() or {}
  if {'bytes_limit', 'bytes_in_use'} <= stats.keys():
    return stats['bytes_limit'] - stats['bytes_in_use']
  memory = Path('/proc/meminfo')
  if device.platform != 'cpu' or not memory.exists():
    return None
  lines = dict(line.split(':') for line in memory.read_text().splitlines())
  available = 1024 * int(lines['MemAvailable'].split()[0])
  return available // jax.local_device_count()


def train_recipes(
  crops: Crops,
  config: Config,
  *,
  start: int,
  process: int = 0,
  processes: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
  """Yields the recipes of the batches of `input_pipeline.train_batches`.

  `make_inputs` makes the batches from them, within the train step.

  Raises:
    UserError: the crops are too narrow for the augmentation.
  """
  examples.check_margin(crops, config)
  local = config.batch_size // processes
  for step in range(start, config.steps):
    first = step * config.batch_size + process * local
    yield recipe(examples.training(crops, config, first=first, count=local))


def evaluation_batches(
  stored: jax.Array,
  make: Callable,
  crops: Crops,
  config: Config,
  batch_size: int,
  numbers: range | None = None,
) -> Iterator[dict[str, jax.Array | np.ndarray]]:
  """Yields the batches of `input_pipeline.evaluation_batches`.

  Args:
    stored: the crops on the devices.
    make: the function of `make_inputs`, jitted once for all evaluations.
    crops: the people.
    config: the run's config.
    batch_size: for all devices together.
    numbers: the batches to make; by default all.

  Yields:
    The batches. The devices of `stored` share 'image' and 'heatmaps' equally.
  """
  split = NamedSharding(stored.sharding.mesh, PartitionSpec('batch'))
  for number in numbers or range(-(-len(crops) // batch_size)):
    people, facts = examples.evaluation(
      crops, config, first=number * batch_size, count=batch_size
    )
    yield make(stored, jax.device_put(recipe(people), split)) | facts


def recipe(drawn: Examples) -> dict[str, np.ndarray]:
  """Returns the arrays from which the device makes the inputs of examples.

  Returns:
    'row' i32[B]; 'input_to_crop' f32[B, 2, 3], between pixel indices as in
    OpenCV; 'color' i32[B, 3, 4] in 1 / COLOR_UNIT; and 'joints' f32[B, K, 2],
    'labeled' and 'known' bool[B, K] of the examples.
  """
  return {
    'row': drawn.row,
    'input_to_crop': np.stack(
      [affine.to_opencv(m) for m in np.linalg.inv(drawn.crop_to_input)]
    ).astype(np.float32),
    'color': np.rint(drawn.color * COLOR_UNIT).astype(np.int32),
    'joints': drawn.joints,
    'labeled': drawn.labeled,
    'known': drawn.known,
  }


def make_inputs(
  config: Config,
) -> Callable[[jax.Array, dict[str, jax.Array]], dict[str, jax.Array]]:
  """Returns the function from the stored crops and a recipe to inputs."""
  size = config.data.image_size

  def inputs(stored, recipe):
    crop = stored[recipe['row']]
    image = jax.vmap(partial(warp, size=size))(crop, recipe['input_to_crop'])
    return {
      'image': jax.vmap(recolor)(image, recipe['color']),
      'heatmaps': heatmaps.render(
        recipe['joints'],
        recipe['labeled'],
        size=size // heatmaps.STRIDE,
        sigma=config.data.sigma,
      ),
      'known': recipe['known'],
    }

  return inputs


def warp(
  crop: jax.Array,  # u8[C, C, 3]
  input_to_crop: jax.Array,  # f32[2, 3], between pixel indices
  *,
  size: int,
) -> jax.Array:  # u8[S, S, 3]
  """Cuts the network's input: bilinear, black outside, as cv2.warpAffine."""
  y, x = jnp.mgrid[:size, :size].astype(jnp.float32)
  # A matrix product on a GPU may keep only ten bits of a coordinate.
  column, row = (m[0] * x + m[1] * y + m[2] for m in input_to_crop)
  left, top = jnp.floor(column), jnp.floor(row)
  right_share, bottom_share = (column - left)[..., None], (row - top)[..., None]

  def at(row, column):
    height, width = crop.shape[:2]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = row.astype(jnp.int32), column.astype(jnp.int32)
    pixel = crop.at[row, column].get(mode='clip')
    return jnp.where(inside[..., None], pixel, 0).astype(jnp.float32)

  def between(a, b, share):
    return a + share * (b - a)

  upper = between(at(top, left), at(top, left + 1), right_share)
  lower = between(at(top + 1, left), at(top + 1, left + 1), right_share)
  return jnp.rint(between(upper, lower, bottom_share)).astype(jnp.uint8)


def recolor(
  image: jax.Array,  # u8[S, S, 3]
  color: jax.Array,  # i32[3, 4], in 1 / COLOR_UNIT
) -> jax.Array:  # u8[S, S, 3]
  """Maps colors by a 3 x 4 matrix and clips to 0..255, as cv2.transform."""
  channels = jnp.moveaxis(image.astype(jnp.int32), -1, 0)
  mixed = [sum(m[:3, None, None] * channels) + m[3] for m in color]
  mixed = (jnp.stack(mixed, -1) + COLOR_UNIT // 2) // COLOR_UNIT
  return jnp.clip(mixed, 0, 255).astype(jnp.uint8)
