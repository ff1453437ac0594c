"""Whole photos, shrunk, with the squares of everybody in them.

`prepare` writes them beside the crops of people, a file for each split; the
network that finds people is trained on them. MPII's photos of 512 px take
about 60 kB each.

Axes: I photos, P people of all photos.
"""

import dataclasses
import io
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import numpy as np

from hg_jax.annotations.people import Squares
from hg_jax.base import array_files, files
from hg_jax.base.errors import UserError, cannot_be_read
from hg_jax.media import images

_FOLDER = Path('photos')
_JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photos:
  """The photos of a split.

  Attributes:
    image: str[I], file names, relative to the images' folder.
    encoded: a JPEG per photo, u8[its length].
    scale: f32[I], px of the JPEG over px of the image.
    middles: for each photo f32[P, 2], the middles of its people's squares, px
      of the JPEG.
    sides: for each photo f32[P], the sides of the squares, px of the JPEG.
    shares: for each of several datasets its photos, which follow each other,
      and its share of the examples; none if every photo is shown as often.
    notes: lines on what the photos were put together from.
  """

  image: np.ndarray
  encoded: list[np.ndarray]
  scale: np.ndarray
  middles: list[np.ndarray]
  sides: list[np.ndarray]
  shares: tuple[tuple[int, float], ...] = ()
  notes: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(self.image)

  def decode(self, row: int) -> np.ndarray:  # u8[height, width, 3] RGB
    """Decodes a photo.

    Raises:
      UserError: it cannot be decoded.
    """
    photo = cv2.imdecode(self.encoded[row], cv2.IMREAD_COLOR)
    if photo is None:
      raise UserError(
        f'the prepared photo {self.image[row]} is corrupt; prepare it again.'
      )
    return cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)


def write(
  data_dir: Path,
  split: str,
  squares: Squares,
  files_of: dict[str, Path],
  *,
  size: int,
  progress: Callable[[], None],
) -> None:
  """Writes the photos of a split.

  Args:
    data_dir: the dataset's folder.
    split: 'train', 'valid' or 'test'.
    squares: of everybody in the split's photos.
    files_of: the file of each image.
    size: the longer side of the largest photo, px.
    progress: called once after each photo.
  """
  names = list(dict.fromkeys(squares.image.tolist()))

  def shrunk(name: str) -> tuple[bytes, float] | None:
    try:
      picture = images.read(files_of[name])
    except UserError:
      return None  # The report of its people's crops names it.
    scale = min(size / max(picture.shape[:2]), 1)
    shape = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
    picture = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(
      '.jpg',
      cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
      [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
    )
    progress()
    return jpeg.tobytes(), scale

  with ThreadPool() as pool:
    photos = dict(zip(names, pool.imap(shrunk, names), strict=True))
  kept = {name: photo for name, photo in photos.items() if photo}
  numbers = {name: number for number, name in enumerate(kept)}
  rows = np.array([name in kept for name in squares.image.tolist()], bool)
  photo = np.array([numbers[n] for n in squares.image[rows].tolist()], int)
  scale = np.array([scale for _, scale in kept.values()], np.float32)
  jpegs = [jpeg for jpeg, _ in kept.values()]
  path = _path(data_dir, split)
  path.parent.mkdir(parents=True, exist_ok=True)
  contents = io.BytesIO()
  np.savez(
    contents,
    image=np.array(list(kept), str),
    scale=scale,
    jpeg=np.frombuffer(b''.join(jpegs), np.uint8),
    end=np.cumsum([len(jpeg) for jpeg in jpegs]),
    photo=photo,
    middle=squares.center[rows] * scale[photo, None],
    side=squares.side[rows] * scale[photo],
  )
  files.write(path, contents.getvalue())


def read(data_dir: Path, split: str) -> Photos:
  """Reads the photos of a split into memory.

  Raises:
    UserError: none were prepared there, or they cannot be read.
  """
  path = _path(data_dir, split)
  if not path.exists():
    raise UserError(
      f'{data_dir} has no whole photos of the split {split!r}, which the '
      'network that finds people learns from; prepare it with this version of '
      'hg_jax in a new --data_dir.'
    )
  try:
    columns = array_files.read_npz(path)
    ends = columns['end'].tolist()
    people = [columns['photo'] == n for n in range(len(columns['image']))]
    return Photos(
      image=columns['image'],
      encoded=[
        columns['jpeg'][start:end]
        for start, end in zip([0, *ends], ends, strict=False)
      ],
      scale=columns['scale'],
      middles=[columns['middle'][rows] for rows in people],
      sides=[columns['side'][rows] for rows in people],
    )
  except (OSError, KeyError, ValueError) as error:
    raise cannot_be_read(path, error) from error


def _path(data_dir: Path, split: str) -> Path:
  return data_dir / _FOLDER / f'{split}.npz'
