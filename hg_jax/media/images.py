"""Reads photographs of every kind into RGB arrays."""

import io
import os
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from hg_jax.base.errors import UserError

try:
  import pillow_heif
except ImportError:
  pillow_heif = None
else:
  pillow_heif.register_heif_opener()

SUFFIXES = (
  '.avif .bmp .gif .heic .heif .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pgm .png '
  '.pnm .ppm .tif .tiff .webp'
).split()

# Larger images are refused before they are decoded: this is 1 GB in memory. A
# phone's largest photos have 108 megapixels.
MAX_PIXELS = 125_000_000
_MAX_BYTES = 8 * MAX_PIXELS  # four channels of 16 bits
# Pillow warns at a lower limit, and about unreadable EXIF data.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)
warnings.filterwarnings('ignore', module='PIL')
# Image generators store their settings in PNG files, up to some megabytes.
PngImagePlugin.MAX_TEXT_CHUNK = 2**26

_ORIENTATION = 0x0112  # EXIF
# OpenCV's flip codes that turn stored pixels of an EXIF orientation upright,
# after those of orientations 5 to 8 were transposed.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
_PHOTOMETRIC, _BITS, _PLANAR = 262, 258, 284  # TIFF's tags
_WHITE_IS_ZERO = 0  # a value of the tag of photometric interpretation
_MATROSKA = b'\x1a\x45\xdf\xa3'  # and WebM
# Brands of ISO media files: HEIC photos; and sound and Canon's raw photos. All
# others are taken for videos.
_HEIC = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'hevm', b'hevs')
_HEIC += (b'mif1', b'mif2', b'msf1')
_SOUND_OR_RAW = (b'M4A ', b'M4B ', b'F4A ', b'crx ')

# The exceptions that Pillow's decoders raise on damaged files.
DAMAGED = (
  OSError,
  EOFError,
  RuntimeError,  # also NotImplementedError
  SyntaxError,
  ValueError,
  struct.error,
)


def read(path: Path) -> np.ndarray:  # u8[H, W, 3] RGB
  """Reads an annotated image, its pixels as they are stored.

  Annotations are in stored pixels, so an EXIF orientation is not applied.

  Raises:
    UserError: the file is missing, not an image, too large or cut short.
  """
  return _decode(path, upright=False)


def read_upright(path: Path) -> np.ndarray:  # u8[H, W, 3] RGB
  """Reads a photo as viewers show it, turned as its EXIF data say.

  Gray, CMYK and 16-bit images become 8-bit color. Transparency is dropped. The
  first picture of an animation is read. Data after the photo's end, such as
  the clip of a phone's motion photo, are ignored.

  Raises:
    UserError: the file is missing, not an image, too large or cut short.
  """
  return _decode(path, upright=True)


def _decode(path: Path, *, upright: bool) -> np.ndarray:
  data = _read_bytes(path)
  try:
    with Image.open(io.BytesIO(data)) as photo:
      if photo.width * photo.height > MAX_PIXELS:
        raise Image.DecompressionBombError
      # The order matters: some formats decode to find their EXIF data, and
      # decoding a TIFF turns it and drops its orientation.
      kind = _kind(photo)
      orientation = _orientation(photo)
      if kind == 'deep color':
        picture = _deep_color(photo, data, path)
      elif kind == 'deep gray':
        picture = _deep_gray(photo, path)
      else:
        picture = np.array(photo.convert('RGB'))
      turned = photo.format == 'TIFF'
  except UnidentifiedImageError as error:
    raise UserError(f'{path} {_not_an_image(data)}') from error
  except Image.DecompressionBombError as error:
    raise UserError(
      f'{path} has more than {MAX_PIXELS / 1e6:.0f} megapixels; shrink it.'
    ) from error
  except DAMAGED as error:
    problem = 'is truncated' if 'truncated' in str(error) else 'is damaged'
    raise UserError(f'{path} {problem}: {error}; fetch it again.') from error
  if turned and not upright:
    # Turn it back: quarter turns are each other's inverse.
    return _turn(picture, {6: 8, 8: 6}.get(orientation, orientation))
  return _turn(picture, orientation) if upright and not turned else picture


def _read_bytes(path: Path) -> bytes:
  try:
    with path.open('rb') as file:
      size = os.fstat(file.fileno()).st_size or _MAX_BYTES  # pipes have none
      data = file.read(min(size, _MAX_BYTES) + 1)
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from error
  if len(data) > _MAX_BYTES:
    raise UserError(
      f'{path} has more than {_MAX_BYTES / 1e9:g} GB, more than '
      f'{MAX_PIXELS / 1e6:.0f} megapixels need; shrink it.'
    )
  if not data:
    raise UserError(f'{path} is empty; fetch it again.')
  return data


def _kind(photo: Image.Image) -> str:
  """Returns 'plain' (eight bits), 'deep gray' or 'deep color'."""
  if photo.mode.startswith(('I', 'F')):
    return 'deep gray'
  tags = getattr(photo, 'tag_v2', {})
  deep = ';16' in str(photo.tile) or max(tags.get(_BITS, (8,))) > 8
  return 'deep color' if deep and photo.mode != 'CMYK' else 'plain'


def _orientation(photo: Image.Image) -> int:
  try:
    return photo.getexif().get(_ORIENTATION, 1)
  except DAMAGED:
    return 1  # Viewers show photos whose EXIF data alone are damaged.


def _deep_gray(photo: Image.Image, path: Path) -> np.ndarray:  # u8[H, W, 3] RGB
  tags = getattr(photo, 'tag_v2', {})
  inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
  bits = tags.get(_BITS, (16,))[0]
  photo.load()
  gray = np.asarray(photo)
  few = photo.mode != 'F' and bits <= 16
  if not (few and 0 <= gray.min() <= gray.max() < 2**16):
    raise UserError(f'{path} has 32 bits a channel; save it with 8 or 16.')
  gray = to_bytes((2**bits - 1 - gray if inverted else gray).astype(np.uint16))
  return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)


def _deep_color(
  photo: Image.Image, data: bytes, path: Path
) -> np.ndarray:  # u8[H, W, 3] RGB
  """Decodes 16 bits a channel with OpenCV, as Pillow drops the lower eight."""
  tags = getattr(photo, 'tag_v2', {})
  photo.load()  # raises if the file is truncated
  picture = None
  if tags.get(_PLANAR) != 2:  # OpenCV confuses colors stored as planes.
    picture = cv2.imdecode(
      np.frombuffer(data, np.uint8),
      cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    )
  if picture is None or picture.dtype != np.uint16:
    raise UserError(
      f'{path} has 16 bits a channel in a form that cannot be read; save it '
      'with 8.'
    )
  return cv2.cvtColor(to_bytes(picture), cv2.COLOR_BGR2RGB)


def to_bytes(
  picture: np.ndarray,  # u16[...]
) -> np.ndarray:  # u8[...]
  """Scales the bits that are in use, 8 to 16, to eight.

  Cameras and scanners store 10, 12 or 14 bits in 16.
  """
  most = int(picture.max())
  bits = next(bits for bits in (8, 10, 12, 14, 16) if most < 2**bits)
  return np.uint8(picture >> (bits - 8))


def _turn(picture: np.ndarray, orientation: int) -> np.ndarray:
  """Turns the pixels stored with an EXIF orientation upright."""
  if orientation in (5, 6, 7, 8):
    picture = cv2.transpose(picture)
  if orientation in _FLIPS:
    picture = cv2.flip(picture, _FLIPS[orientation])
  return picture


def _not_an_image(data: bytes) -> str:
  """Describes a file that Pillow cannot open."""
  brand = data[8:12] if data[4:8] == b'ftyp' else None
  if brand in _HEIC:
    return 'is a HEIC photo, which `pip install pillow-heif` makes readable.'
  is_media = brand or data[:4] == _MATROSKA or data[8:11] == b'AVI'
  if is_media and brand not in _SOUND_OR_RAW:
    return 'is a video, not an image; end its name as a video, such as .mp4.'
  return 'is not an image that can be read; save it as JPEG or PNG.'
