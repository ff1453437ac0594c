"""Cuts people out of photos, for records and for the network."""

from collections.abc import Sequence

import cv2
import numpy as np

from hg_jax.base import affine


def cut(
  picture: np.ndarray,  # u8[H, W, 3]
  center: np.ndarray,  # f[2] px
  side: float,  # px
  size: int,  # px
) -> tuple[np.ndarray, np.ndarray]:  # u8[S, S, 3], f64[3, 3]
  """Cuts a square out of an image and shrinks it by averaging areas.

  The square is widened to whole pixels, so nothing is interpolated. It is
  black outside the image and is never enlarged: S <= size. A very large square
  is first shrunk by a whole number, which is much faster and bounds memory.

  Returns:
    The crop and the map from the image to it.
  """
  factor = max(int(side / (_MOST * size)), 1)
  half = side / 2
  first = np.floor((np.asarray(center, np.float64) - half) / factor).astype(int)
  last = np.ceil((np.asarray(center, np.float64) + half) / factor).astype(int)
  (left, top), width = first, max((last - first).max(), 1)
  inside = shrink(
    picture[
      max(top * factor, 0) : max((top + width) * factor, 0),
      max(left * factor, 0) : max((left + width) * factor, 0),
    ],
    factor,
  )
  square = np.zeros((width, width, 3), np.uint8)
  row, column = max(-top, 0), max(-left, 0)
  square[row : row + inside.shape[0], column : column + inside.shape[1]] = (
    inside
  )
  image_to_crop = affine.scale(1 / factor) @ affine.translate([-left, -top])
  if width > size:
    square = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
    image_to_crop = image_to_crop @ affine.scale(size / width)
  return square, image_to_crop


# A square is first shrunk by the whole number side / (_MOST * size), if that is
# 2 or more: for crops of the default size, no person of MPII.
_MOST = 4


def warp(
  crop: np.ndarray,  # u8[..., ..., 3], blue, green, red
  crop_to_input: np.ndarray,  # f[3, 3]
  size: int,
) -> np.ndarray:  # u8[S, S, 3] RGB
  """Cuts the network's input out of a crop: bilinear, black outside."""
  # OpenCV warps four channels three times as fast as three.
  crop = cv2.cvtColor(crop, cv2.COLOR_BGR2RGBA)
  crop = cv2.warpAffine(crop, affine.to_opencv(crop_to_input), (size, size))
  return cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)


def crop_size(image_size: int) -> int:
  """Returns the side of prepared crops for inputs of this side, px."""
  return round(image_size * _FINENESS)


def inputs_of(
  picture: np.ndarray,  # u8[H, W, 3] RGB
  centers: Sequence[np.ndarray],  # P of f[2] px
  sides: Sequence[float],  # P, px
  size: int,  # px
) -> tuple[np.ndarray, np.ndarray]:  # u8[P, S, S, 3] RGB, f64[P, 3, 3]
  """Cuts the network's inputs out of a whole photo.

  They equal, to the bit, the inputs from the crops that `prepare` cuts before
  it compresses them as JPEG.

  Returns:
    The inputs and the maps from the image to them.
  """
  inputs = np.zeros((len(sides), size, size, 3), np.uint8)
  maps = np.zeros((len(sides), 3, 3))
  for person, (center, side) in enumerate(zip(centers, sides, strict=True)):
    crop, image_to_crop = cut(picture, center, side * _MARGIN, crop_size(size))
    maps[person] = affine.image_to_crop(center, side, size)
    crop_to_input = np.linalg.inv(image_to_crop) @ maps[person]
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    inputs[person] = warp(bgr, crop_to_input, size)
  return inputs, maps


# The defaults of `prepare`: the crop's side over the square's, and the crop's
# pixels over the input's.
_MARGIN, _FINENESS = 1.7075, 448 / 256


def glance_at(
  picture: np.ndarray,  # u8[H, W, 3] RGB
  center: np.ndarray,  # f[2] px
  side: float,  # px
  size: int,  # px
) -> tuple[np.ndarray, np.ndarray]:  # u8[S, S, 3] RGB, f64[3, 3]
  """Cuts an input as `inputs_of` does, within a pixel, in a tenth of the time.

  Returns:
    The input and the map from the image to it.
  """
  seen, image_to_input = cut(picture, center, side, size)
  if len(seen) < size:
    image_to_input = image_to_input @ affine.scale(size / len(seen))
    seen = cv2.resize(seen, (size, size))
  return seen, image_to_input


def shrink(
  picture: np.ndarray,  # u8[H, W, 3]
  factor: int,
) -> np.ndarray:  # u8[ceil(H / factor), ceil(W / factor), 3]
  """Averages squares of `factor` px; it is black beyond the image."""
  if factor == 1 or not picture.size:
    return picture
  height, width = picture.shape[:2]
  if height % factor or width % factor:
    picture = cv2.copyMakeBorder(
      picture,
      *(0, -height % factor, 0, -width % factor),
      cv2.BORDER_CONSTANT,
    )
  size = (picture.shape[1] // factor, picture.shape[0] // factor)
  return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
