"""Maps of the people in a photo: their middles and the sides of their squares.

The finder is a `StackedHourglass` of two maps in place of heatmaps of joints:
logits that are high at the middle of each person's square, and there the
logarithm of its side over the input's. The idea is that of CornerNet and of
"Objects as Points" (Law and Deng 2018, Zhou et al. 2019).

Axes: B batch, N stacks, P people, S input px, H = S // 4 map px.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hg_jax.base.skeleton import Skeleton

SKELETON = Skeleton(
  joints=('middle', 'log_side'),
  flip=(0, 1),
  groups={'middle': (0,)},
  limbs=(),
  metric='people',
)
# The maps of a network that finds nobody: before it learns, 0.1 people a pixel.
NOBODY = (-2.2, -1.0)
# The width of a middle's Gaussian, of the side of the person's square.
_WIDTH = 0.08
_NARROWEST = 0.6  # px of the map
# The side is learned where the Gaussian is above this.
_NEAR = 0.3
# CornerNet's powers: how soon a pixel that is right, or near a middle, counts
# less.
_EASY, _NEARBY = 2, 4
_SIDE_WEIGHT = 0.5  # of the side's loss beside that of the middles


def begin_with_nobody(variables: dict[str, Any]) -> None:
  """Sets the biases so that every stack finds nobody before it learns.

  Else the few middles would hardly count beside all other pixels at first.
  """
  for name, stack in variables['params'].items():
    if name.startswith('stack'):
      stack['heatmaps']['bias'] = np.array(NOBODY, np.float32)


def render(
  middles: np.ndarray,  # f[P, 2], px of the map
  sides: np.ndarray,  # f[P], px of the map
  ignored: np.ndarray,  # bool[P], too small to be learned
  *,
  size: int,  # H
) -> np.ndarray:  # f32[H, H, 4]
  """Renders what the finder is trained to give.

  Returns:
    The middles' Gaussians, of which the pixel of each middle is exactly 1; the
    logarithm of the side over the input's; how much the side counts; and 0
    where the middle's map does not count, about those who are ignored.
  """
  target = np.zeros((size, size, 4), np.float32)
  target[..., 3] = 1
  y, x = np.mgrid[:size, :size].astype(np.float32)
  for middle, side, ignore in zip(middles, sides, ignored, strict=True):
    column, row = np.floor(middle)
    if not (0 <= column < size and 0 <= row < size):
      continue
    sigma = max(_WIDTH * side, _NARROWEST)
    peak = np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))
    if ignore:
      target[..., 3][peak > 0.1] = 0
      continue
    nearest = (peak > target[..., 0]) & (peak > _NEAR)
    target[..., 0] = np.maximum(target[..., 0], peak)
    target[nearest, 1] = np.log(side / size)
    target[nearest, 2] = peak[nearest]
  return target


def loss(
  maps: jax.Array,  # f32[B, N, H, H, 2]
  targets: jax.Array,  # f32[B, H, H, 4], of `render`
) -> jax.Array:  # f32[N]
  """Returns each stack's loss: of the middles, and of the sides beside them.

  The middles have CornerNet's penalty-reduced focal loss, the sides the
  absolute error of the logarithm, both over the number of people.
  """
  middle, log_side, weight, counted = jnp.moveaxis(targets[:, None], -1, 0)
  logits, answer = maps[..., 0], maps[..., 1]
  sure = jax.nn.log_sigmoid(logits)
  not_sure = jax.nn.log_sigmoid(-logits)
  is_middle = middle == 1
  right = jnp.exp(_EASY * not_sure) * sure
  wrong = (1 - middle) ** _NEARBY * jnp.exp(_EASY * sure) * not_sure * counted
  axes = (0, 2, 3)
  people = jnp.maximum(is_middle.sum(axes), 1)
  middles = -jnp.where(is_middle, right, wrong).sum(axes) / people
  errors = (weight * jnp.abs(answer - log_side)).sum(axes)
  return middles + _SIDE_WEIGHT * errors / jnp.maximum(weight.sum(axes), 1)


def decode(
  maps: jax.Array,  # f32[..., H, H, 2]
  *,
  count: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Finds the `count` surest peaks of the middles.

  Returns:
    Their places, f32[..., count, 2] px of the map, moved towards the higher
    neighbors as the parabola through them peaks; their squares' sides,
    f32[..., count] px of the map; and their scores from 0 to 1, the surest
    first. A pixel that is not the highest of the 3 x 3 about it has a score
    of 0.
  """
  logits, log_side = maps[..., 0], maps[..., 1]
  size = logits.shape[-1]
  lead = [(0, 0)] * (logits.ndim - 2)
  padded = jnp.pad(logits, [*lead, (1, 1), (1, 1)], constant_values=-jnp.inf)

  def shifted(row, column):
    return padded[..., 1 + row : 1 + row + size, 1 + column : 1 + column + size]

  around = [shifted(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
  is_peak = logits >= jnp.stack(around).max(0)
  scores = jnp.where(is_peak, jax.nn.sigmoid(logits), 0)
  flat = (*scores.shape[:-2], size * size)
  best, index = jax.lax.top_k(scores.reshape(flat), count)

  def at(values):
    return jnp.take_along_axis(values.reshape(flat), index, -1)

  def offset(before, after):
    # At the border the neighbor outside is -inf; then nothing is moved.
    bend = 2 * logits - before - after
    move = (after - before) / (2 * jnp.maximum(bend, 1e-6))
    return jnp.where(jnp.isfinite(move), jnp.clip(move, -0.5, 0.5), 0)

  x = index % size + 0.5 + at(offset(shifted(0, -1), shifted(0, 1)))
  y = index // size + 0.5 + at(offset(shifted(-1, 0), shifted(1, 0)))
  return jnp.stack([x, y], -1), size * jnp.exp(at(log_side)), best
