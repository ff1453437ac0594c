"""Reading photographs, and refusing the broken ones by name."""

from pathlib import Path

import cv2
import numpy as np

from hg_jax.command import UserError

_END_OF_JPEG, _START_OF_SCAN = b'\xff\xd9', b'\xff\xda'


def read(path: Path) -> np.ndarray:  # u8[H, W, 3], blue, green, red
  """Reads an annotated image as OpenCV has it, its pixels as they are stored.

  Annotations are in stored pixels, so an EXIF orientation is not applied.

  Raises:
    UserError: the file is missing, no image, or cut short.
  """
  try:
    data = path.read_bytes()
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from error
  if data.startswith(b'\xff\xd8') and data.rfind(_END_OF_JPEG) < data.rfind(
    _START_OF_SCAN
  ):
    # OpenCV would fill the missing part with gray and say nothing.
    raise UserError(f'{path} is a truncated JPEG; fetch it again.')
  flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
  try:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
  except cv2.error:
    picture = None  # OpenCV raises on an empty file and returns None otherwise.
  if picture is None:
    raise UserError(f'{path} is not an image that OpenCV can decode.')
  return picture
