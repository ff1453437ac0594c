"""Photos as programs have them: files, Pillow's images and arrays."""

import os

import numpy as np
from PIL import Image, ImageOps

from hg_jax.base import files
from hg_jax.base.errors import UserError
from hg_jax.media import images

Photo = str | os.PathLike | Image.Image | np.ndarray


def as_rgb(image: Photo) -> np.ndarray:  # u8[height, width, 3] RGB
  """Returns the picture of a path, one of Pillow's images or an array.

  Raises:
    UserError: the path is a URL, or its file cannot be read.
    ValueError: the type, shape, dtype or range is none of a picture's, or
      Pillow's image is damaged.
  """
  if isinstance(image, str) and '://' in image and not os.path.exists(image):
    raise UserError(f'{image} is not a file; download it and give the file.')
  if isinstance(image, (str, os.PathLike)):
    return images.read_upright(files.expand_home(image))
  if isinstance(image, Image.Image):
    image = _decoded(image)
  try:
    picture = np.asarray(image)
  except (TypeError, ValueError):  # from uneven lists and other libraries
    picture = np.array(None)
  if picture.dtype.kind in 'uf':  # of any order of bytes
    picture = picture.astype(picture.dtype.newbyteorder('='), copy=False)
  if not picture.ndim:
    raise ValueError(
      f'The image is of type {type(image).__name__}; it must be a path, an '
      "image of Pillow's, an array, or a list of these."
    )
  described = f'{picture.dtype}{list(picture.shape)}'
  if picture.ndim == 2:
    picture = picture[..., None]
  if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or not picture.size:
    raise ValueError(
      f'The image is {described}; it must be [height, width], or '
      '[height, width, 3] in RGB, or [height, width, 4] in RGBA.'
    )
  if picture.dtype == np.uint16:
    picture = images.to_bytes(picture)
  elif np.issubdtype(picture.dtype, np.floating):
    if not (picture.min() >= 0 and picture.max() <= 1):
      raise ValueError(
        f'The image is {described} from {picture.min():g} to '
        f'{picture.max():g}; floats must be from 0 to 1.'
      )
    picture = np.uint8(np.round(picture * 255))
  elif picture.dtype != np.uint8:
    raise ValueError(
      f'The image is {described}; it must be of uint8, uint16 or floats.'
    )
  channels = picture[..., :3]
  shape = (*channels.shape[:2], 3)
  return np.ascontiguousarray(np.broadcast_to(channels, shape))


def _decoded(photo: Image.Image) -> np.ndarray:
  """Decodes one of Pillow's images, which are decoded at their first use."""
  try:
    photo = ImageOps.exif_transpose(photo)
    if photo.mode == 'F':
      return np.asarray(photo)
    # Pillow would clip 16 bits to 255. It holds some in mode I, of 32 bits.
    if photo.mode.startswith('I'):
      pixels = np.asarray(photo)
      if not pixels.size or 0 <= pixels.min() <= pixels.max() < 2**16:
        return pixels.astype(np.uint16)
      raise ValueError(
        f'its pixels are from {pixels.min()} to {pixels.max()}, but must be '
        'from 0 to 65535'
      )
    return np.asarray(photo.convert('RGB'))
  except images.DAMAGED as error:
    raise ValueError(
      f'The image of mode {photo.mode} cannot be read: {error}.'
    ) from error
