"""Builds and applies affine maps, in the one pixel convention of this project.

Coordinates are continuous, (x, y), in pixels, the origin at the image's
top-left corner: pixel (row i, column j) covers [j, j + 1) x [i, i + 1), and
its center is (j + 0.5, i + 0.5). Indices and coordinates meet in three places
only: the warp (`to_opencv`), `heatmaps.render` (floor) and `heatmaps.decode`
(+ 0.5). MPII's annotations are taken as such coordinates, as pose-hg-train
and its ports do: heatmap index = floor(map(annotation)).

A map is a 3 x 3 matrix for row vectors, [x, y, 1] @ map, so maps compose in
reading order: `a @ b` is first a, then b. Maps are named from_to_to.
"""

import numpy as np


def apply(points, map_):
  """Maps points [..., K, 2] by maps [..., 3, 3]; NumPy or JAX."""
  # Not a matrix product: on a GPU its factors may be rounded to ten bits.
  x, y = points[..., :1], points[..., 1:]
  return x * map_[..., :1, :2] + y * map_[..., 1:2, :2] + map_[..., 2:, :2]


def translate(
  offset: np.ndarray,  # f[..., 2] px
) -> np.ndarray:  # f[..., 3, 3]
  """Moves points by `offset`."""
  offset = np.asarray(offset, np.float64)
  map_ = np.broadcast_to(np.eye(3), (*offset.shape[:-1], 3, 3)).copy()
  map_[..., 2, :2] = offset
  return map_


def scale(
  factor: np.ndarray,  # f[...]
) -> np.ndarray:  # f[..., 3, 3]
  """Multiplies coordinates by `factor`, about the origin."""
  factor = np.asarray(factor, np.float64)
  map_ = np.zeros((*factor.shape, 3, 3))
  map_[..., 0, 0] = map_[..., 1, 1] = factor
  map_[..., 2, 2] = 1
  return map_


def rotate(
  degrees: np.ndarray,  # f[...]
) -> np.ndarray:  # f[..., 3, 3]
  """Turns the picture counter-clockwise about the origin.

  The y axis points down, so this is the rotation by -degrees in image axes:
  `get_transform` of pytorch_stacked_hourglass.
  """
  radians = np.deg2rad(np.asarray(degrees, np.float64))
  map_ = np.zeros((*radians.shape, 3, 3))
  map_[..., 0, 0] = map_[..., 1, 1] = np.cos(radians)
  map_[..., 1, 0] = np.sin(radians)
  map_[..., 0, 1] = -np.sin(radians)
  map_[..., 2, 2] = 1
  return map_


def mirror(
  flip: np.ndarray,  # bool[...]
) -> np.ndarray:  # f[..., 3, 3]
  """Mirrors left and right, x -> -x, where `flip` is true."""
  map_ = scale(np.ones(np.shape(flip)))
  map_[..., 0, 0] = np.where(flip, -1.0, 1.0)
  return map_


def image_to_crop(
  center: np.ndarray,  # f[..., 2] px of the image
  side: np.ndarray,  # f[...] px of the image
  size: int,  # px of the crop
  *,
  rotation: np.ndarray | float = 0.0,  # degrees, counter-clockwise
  flip: np.ndarray | bool = False,
) -> np.ndarray:  # f64[..., 3, 3]
  """Maps the square of `side` px about `center` to a crop of `size` px.

  The square is turned and then mirrored about its own center, as in
  pose-hg-train and pytorch_stacked_hourglass (SPEC 2.4).
  """
  side = np.asarray(side, np.float64)
  return (
    translate(-np.asarray(center, np.float64))
    @ scale(size / side)
    @ rotate(np.broadcast_to(rotation, side.shape))
    @ mirror(np.broadcast_to(flip, side.shape))
    @ translate(np.full((*side.shape, 2), size / 2))
  )


def to_opencv(map_: np.ndarray) -> np.ndarray:
  """Returns the 2 x 3 matrix with which OpenCV warps by `map_`.

  It is for column vectors of pixel indices: OpenCV puts a pixel's center at
  its index, we put it half a pixel further.
  """
  half = np.full(2, 0.5)
  return (translate(half) @ map_ @ translate(-half))[:, :2].T
