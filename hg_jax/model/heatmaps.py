"""Turns joints into heatmaps and back, and mirrors heatmaps.

Every function takes NumPy or JAX arrays and returns the same kind.
Axes: H, W heatmap px, K joints, ... any leading axes.
"""

import numpy as np

STRIDE = 4  # input px per heatmap px


def render(
  joints,  # f[..., K, 2] heatmap px
  labeled,  # bool[..., K]
  *,
  size: int,  # px, both H and W
  sigma: float,  # px
):  # f32[..., H, W, K]
  """Draws a Gaussian of peak 1 at the pixel that holds each joint.

  As in `GenerateHeatmap` of pytorch_stacked_hourglass (SPEC 2.6), it is
  centered on the pixel and cut off beyond 3 sigma + 1 px. A joint that is not
  labeled or lies outside the heatmap leaves its map at 0.
  """
  xp = joints.__array_namespace__()
  radius = int(3 * sigma + 1)
  distance = np.arange(radius + 2, dtype=np.float32)
  # A table, so that every backend multiplies the same numbers.
  profile = np.exp(-np.square(distance) / np.float32(2 * sigma**2))
  profile[radius + 1] = 0
  profile = xp.asarray(profile)
  pixel = xp.floor(joints)
  inside = labeled & xp.all((pixel >= 0) & (pixel < size), axis=-1)
  pixel = xp.where(inside[..., None], pixel, -size).astype(np.int32)
  steps = xp.arange(size, dtype=np.int32)[:, None]

  def along(axis):
    offset = xp.abs(steps - pixel[..., None, :, axis])
    return profile[xp.minimum(offset, radius + 1)]

  rows = along(1) * inside[..., None, :].astype(np.float32)
  return rows[..., :, None, :] * along(0)[..., None, :, :]


def decode(
  heatmaps,  # f32[..., H, W, K]
  *,
  decoding: str = 'quarter',
):  # f32[..., K, 2] heatmap px, f32[..., K]
  """Finds each joint at its heatmap's maximum, to a fraction of a pixel.

  'quarter' moves the maximum by 0.25 px towards the higher neighbor along x
  and along y, as `postprocess` in pose-hg-train's src/util/pose.lua does. It
  does not move it if the neighbors are equal or if it lies on the border. Of
  several maxima it takes the topmost, then the leftmost.

  'dark' fits a Gaussian to the logarithms of the smoothed heatmap near its
  maximum, as Zhang et al., Distribution-Aware Coordinate Representation (CVPR
  2020), do, but separately along x and y. It is finer for wide peaks (sigma).

  Returns:
    The joints, (x, y) in the continuous coordinates of `affine`, and each
    heatmap's maximum.
  """
  xp = heatmaps.__array_namespace__()
  maps = xp.moveaxis(heatmaps, -1, -3)  # [..., K, H, W]
  height, width = maps.shape[-2:]
  peaks, move = maps, _quarter
  if decoding == 'dark':
    peaks, move = _smoothed(maps), _gaussian_top
  # Row first, then column: 7 times faster than one argmax on XLA's CPU.
  row = xp.argmax(xp.max(peaks, axis=-1), axis=-1)  # [..., K]
  line = xp.take_along_axis(peaks, row[..., None, None], axis=-2)[..., 0, :]
  column = xp.argmax(line, axis=-1)
  upright = xp.take_along_axis(peaks, column[..., None, None], axis=-1)[..., 0]
  joints = xp.stack(
    [
      column + 0.5 + _moved(move, line, column, width),
      row + 0.5 + _moved(move, upright, row, height),
    ],
    axis=-1,
  )
  return joints.astype(np.float32), xp.max(xp.max(maps, axis=-1), axis=-1)


def _moved(move, line, index, length):
  """Returns each line's maximum, px from the middle of its pixel."""
  xp = line.__array_namespace__()

  def at(index):
    return xp.take_along_axis(line, index[..., None], axis=-1)[..., 0]

  before = at(xp.maximum(index - 1, 0))
  after = at(xp.minimum(index + 1, length - 1))
  inner = (index > 0) & (index < length - 1)
  return xp.where(inner, move(xp, before, at(index), after), 0.0)


def _quarter(xp, before, middle, after):
  return 0.25 * xp.sign(after - before)


def _gaussian_top(xp, before, middle, after):
  """Returns the top of the parabola through the logarithms."""
  before, middle, after = (
    xp.log(xp.maximum(x, 1e-3)) for x in (before, middle, after)
  )
  bend = xp.minimum(before + after - 2 * middle, -1e-6)
  return xp.clip(0.5 * (before - after) / bend, -0.5, 0.5)


def _smoothed(maps):  # f32[..., H, W] -> f32[..., H, W]
  """Smooths by a Gaussian of 1 px, as if maps were 0 beyond the border."""
  xp = maps.__array_namespace__()

  def weights(length):
    distance = np.arange(length)[:, None] - np.arange(length)
    gaussian = np.exp(-np.square(distance) / 2) / np.sqrt(2 * np.pi)
    return xp.asarray(gaussian.astype(np.float32))

  height, width = maps.shape[-2:]
  return weights(height) @ maps @ weights(width)


def mirror(
  heatmaps,  # f[..., H, W, K]
  flip: tuple[int, ...],  # [K], the skeleton's
):  # f[..., H, W, K]
  """Returns the mirrored picture's heatmaps; left joints become right ones."""
  return heatmaps[..., ::-1, np.asarray(flip)]
