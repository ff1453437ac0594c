"""Photographs: reading them, and cutting out what the network sees."""

from pathlib import Path

import cv2
import numpy as np

from hg_jax.base import affine
from hg_jax.base.errors import UserError

_END_OF_JPEG, _START_OF_SCAN = b'\xff\xd9', b'\xff\xda'


def read(path: Path) -> np.ndarray:  # u8[H, W, 3], blue, green, red
  """Reads an annotated image as OpenCV has it, its pixels as they are stored.

  Annotations are in stored pixels, so an EXIF orientation is not applied.

  Raises:
    UserError: the file is missing, no image, or cut short.
  """
  return _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def read_upright(path: Path) -> np.ndarray:  # u8[H, W, 3], blue, green, red
  """Reads a photo as viewers show it, turned as its EXIF data say.

  Gray, CMYK and 16-bit images become 8-bit color, an alpha channel is
  dropped, and of an animation the first picture is read.

  Raises:
    UserError: the file is missing, no image, or cut short.
  """
  return _decode(path, cv2.IMREAD_COLOR)


def _decode(path: Path, flags: int) -> np.ndarray:
  try:
    data = path.read_bytes()
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from error
  if data.startswith(b'\xff\xd8') and data.rfind(_END_OF_JPEG) < data.rfind(
    _START_OF_SCAN
  ):
    # OpenCV would fill the missing part with gray and say nothing.
    raise UserError(f'{path} is a truncated JPEG; fetch it again.')
  try:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
  except cv2.error:
    picture = None  # OpenCV raises on an empty file and returns None otherwise.
  if picture is None:
    raise UserError(f'{path} is not an image that OpenCV can decode.')
  return picture


def cut(
  picture: np.ndarray,  # u8[H, W, 3]
  center: np.ndarray,  # f[2] px
  side: float,  # px
  size: int,  # px
) -> tuple[np.ndarray, np.ndarray]:  # u8[S, S, 3], f64[3, 3]
  """Cuts a square out of an image and shrinks it by averaging areas.

  The square is widened to whole pixels, so nothing is interpolated; it is
  black outside the image and is never enlarged: S <= size.

  Returns:
    The crop and the map from the image to it.
  """
  left, top = np.floor(np.asarray(center, np.float64) - side / 2).astype(int)
  right, bottom = np.ceil(np.asarray(center, np.float64) + side / 2).astype(int)
  width = max(right - left, bottom - top, 1)
  inside = picture[
    max(top, 0) : max(top + width, 0), max(left, 0) : max(left + width, 0)
  ]
  square = np.zeros((width, width, 3), np.uint8)
  row, column = max(-top, 0), max(-left, 0)
  square[row : row + inside.shape[0], column : column + inside.shape[1]] = (
    inside
  )
  image_to_crop = affine.translate([-left, -top])
  if width > size:
    square = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
    image_to_crop = image_to_crop @ affine.scale(size / width)
  return square, image_to_crop


def warp(
  crop: np.ndarray,  # u8[..., ..., 3], blue, green, red
  crop_to_input: np.ndarray,  # f[3, 3]
  size: int,
) -> np.ndarray:  # u8[S, S, 3] RGB
  """The network's input: bilinear, black outside the crop."""
  # OpenCV warps four channels three times as fast as three.
  crop = cv2.cvtColor(crop, cv2.COLOR_BGR2RGBA)
  crop = cv2.warpAffine(crop, affine.to_opencv(crop_to_input), (size, size))
  return cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)


def crop_size(image_size: int) -> int:
  """Side of the prepared crops that suits inputs of this side, px.

  At a scale of 1 a pixel of such a crop is a pixel of the input.
  """
  return round(image_size * _FINENESS)


def input_of(
  picture: np.ndarray,  # u8[H, W, 3], blue, green, red
  center: np.ndarray,  # f[2] px
  side: float,  # px
  size: int,  # px
) -> tuple[np.ndarray, np.ndarray]:  # u8[S, S, 3] RGB, f64[3, 3]
  """The network's input, of a whole photo.

  To the bit that of a crop as `prepare` cuts it, before that becomes a JPEG.

  Returns:
    The input and the map from the image to it.
  """
  factor = max(int(side / _MOST), 1)
  near = _shrink(picture, factor) if factor > 1 else picture
  crop, near_to_crop = cut(
    near,
    np.asarray(center, np.float64) / factor,
    side / factor * _MARGIN,
    crop_size(size),
  )
  image_to_crop = affine.scale(1 / factor) @ near_to_crop
  image_to_input = affine.image_to_crop(center, side, size)
  return warp(crop, np.linalg.inv(image_to_crop) @ image_to_input, size), (
    image_to_input
  )


# The defaults of `prepare`: side of the crop over the square's, and px of it
# over those of the input.
_MARGIN, _FINENESS = 1.7075, 448 / 256
# A square of twice as many px is shrunk in the image: that of a panorama,
# 20,000 px wide, would fill gigabytes.
_MOST = 1024


def _shrink(picture: np.ndarray, factor: int) -> np.ndarray:
  """Averages squares of `factor` px; black beyond the image."""
  height, width = picture.shape[:2]
  picture = cv2.copyMakeBorder(
    np.ascontiguousarray(picture),
    *(0, -height % factor, 0, -width % factor),
    cv2.BORDER_CONSTANT,
  )
  size = (picture.shape[1] // factor, picture.shape[0] // factor)
  return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
