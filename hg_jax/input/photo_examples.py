"""Makes the finder's inputs and targets from whole photos, with OpenCV.

Example k is a function of (seed, k), as that of people in `augmentation`: a
photo in a random scale and place, or a mosaic of four, which makes crowds of
photos of single people.

Axes: B batch, S input px, H = S // 4 map px, P people of a photo.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.input import augmentation, datasets, photo_records
from hg_jax.input.photo_records import Photos
from hg_jax.model import people_maps
from hg_jax.model.heatmaps import STRIDE

# The side of the smallest square that is learned, of the input's.
SMALLEST = 14 / 192
_PHOTOS = 4  # of an example's numbers in the order of the photos
# The logarithms of the least and the greatest scale of a photo, over the one
# at which all of it is seen.
_SCALES = (-0.5, 0.75)

Batch = dict[str, np.ndarray]


def read(config: Config, split: str) -> Photos:
  """Reads the photos of a split: to train on all datasets', else the first's.

  Raises:
    UserError: a folder has no prepared photos.
  """
  folders = datasets.folders(config)
  if split != 'train' or len(folders) == 1:
    return photo_records.read(folders[0], split)
  parts = [photo_records.read(folder, split) for folder in folders]
  shares = datasets.checked_shares(config)
  return Photos(
    image=np.concatenate([part.image for part in parts]),
    encoded=[jpeg for part in parts for jpeg in part.encoded],
    scale=np.concatenate([part.scale for part in parts]),
    middles=[m for part in parts for m in part.middles],
    sides=[s for part in parts for s in part.sides],
    shares=tuple(zip(map(len, parts), shares, strict=True)) if shares else (),
    notes=tuple(_note(f, p) for f, p in zip(folders, parts, strict=True)),
  )


def _note(folder: Path, photos: Photos) -> str:
  people = sum(map(len, photos.sides))
  return f'{folder}: {len(photos):,} photos of {people:,} people'


def train_batch(
  photos: Photos, config: Config, *, first: int, count: int
) -> Batch:
  """Makes examples first .. first + count - 1.

  Returns:
    'image' u8[B, S, S, 3] RGB and 'heatmaps' f32[B, H, H, 4], of
    `people_maps.render`.
  """
  changes = augmentation.sample(
    config.augment, seed=config.seed, first=first, count=count
  )
  colors = changes.color_matrix()
  size = config.data.image_size
  images = np.empty((count, size, size, 3), np.uint8)
  targets = []
  chosen = rows(photos, config, first=first, count=count)
  for i, of_example in enumerate(chosen):
    generator = np.random.default_rng([config.seed, first + i])
    image, middles, sides = _mosaic(
      photos, of_example, generator, size, mosaic=config.augment.mosaic
    )
    cv2.transform(image, colors[i], dst=images[i])
    if changes.flip[i]:
      images[i] = images[i][:, ::-1].copy()
      middles[:, 0] = size - middles[:, 0]
    targets.append(_target(middles, sides, size))
  return {'image': images, 'heatmaps': np.stack(targets)}


def rows(
  photos: Photos, config: Config, *, first: int, count: int
) -> np.ndarray:  # i[B, 4]
  """Chooses the photos of examples; of a single photo the first is shown."""
  numbers = {
    'seed': config.seed,
    'first': _PHOTOS * first,
    'count': _PHOTOS * count,
  }
  if photos.shares:
    found = augmentation.shared_rows(photos.shares, **numbers)
  else:
    found = augmentation.rows(len(photos), **numbers)
  return found.reshape(count, _PHOTOS)


def _target(middles: np.ndarray, sides: np.ndarray, size: int) -> np.ndarray:
  return people_maps.render(
    middles / STRIDE,
    sides / STRIDE,
    sides < SMALLEST * size,
    size=size // STRIDE,
  )


def _mosaic(
  photos: Photos,
  rows: np.ndarray,  # i[4]
  generator: np.random.Generator,
  size: int,
  *,
  mosaic: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """One photo, or four in the corners; u8[S, S, 3], f[P, 2] and f[P] px."""
  canvas = np.zeros((size, size, 3), np.uint8)
  if generator.random() >= mosaic:
    windows = [(0, 0, size, size)]
  else:
    x, y = (size * generator.uniform(0.35, 0.65, 2)).astype(int)
    windows = [
      (0, 0, x, y),
      (x, 0, size, y),
      (0, y, x, size),
      (x, y, size, size),
    ]
  middles, sides = [], []
  for row, window in zip(rows, windows, strict=False):
    found = _place(photos, row, generator, canvas, window)
    middles.append(found[0])
    sides.append(found[1])
  return canvas, np.concatenate(middles), np.concatenate(sides)


def _place(
  photos: Photos,
  row: int,
  generator: np.random.Generator,
  canvas: np.ndarray,  # u8[S, S, 3], drawn on
  window: tuple[int, int, int, int],  # left, top, right, bottom; px
) -> tuple[np.ndarray, np.ndarray]:  # f[P, 2], f[P] px of the canvas
  """Draws a photo into a window at a random scale and place."""
  left, top, right, bottom = window
  space = np.array([right - left, bottom - top])
  photo = photos.decode(row)
  full = np.array(photo.shape[1::-1])
  scale = min(space / full) * np.exp(generator.uniform(*_SCALES))
  shape = np.maximum(np.rint(full * scale), 1).astype(int)
  way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
  photo = cv2.resize(photo, shape.tolist(), interpolation=way)
  room = space - shape  # Negative where only a part is seen.
  x, y = np.floor(generator.random(2) * (room + np.sign(room))).astype(int)
  seen = photo[max(-y, 0) : space[1] - y, max(-x, 0) : space[0] - x]
  height, width = seen.shape[:2]
  x0, y0 = left + max(x, 0), top + max(y, 0)
  canvas[y0 : y0 + height, x0 : x0 + width] = seen
  middles = photos.middles[row] * (shape / full) + [left + x, top + y]
  inside = ((middles >= window[:2]) & (middles < window[2:])).all(axis=1)
  return middles[inside], (photos.sides[row] * scale)[inside]


def letterbox(
  photo: np.ndarray,  # u8[height, width, 3]
  size: int,
) -> tuple[np.ndarray, float]:  # u8[S, S, 3], px of the input over the photo's
  """Shrinks a whole photo into the top left of a black square."""
  scale = size / max(photo.shape[:2])
  shape = [max(round(side * scale), 1) for side in photo.shape[1::-1]]
  way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
  image = np.zeros((size, size, 3), np.uint8)
  image[: shape[1], : shape[0]] = cv2.resize(photo, shape, interpolation=way)
  return image, scale


def evaluation_batches(
  photos: Photos, config: Config, batch_size: int, numbers: range
) -> Iterator[tuple[Batch, list[np.ndarray], list[np.ndarray]]]:
  """Yields every photo once, unchanged, in order.

  Yields:
    A batch as `train_batch` makes it, black beyond the last photo, with 'mask'
    bool[B]; and the middles f[P, 2] and the sides f[P] of the people of each
    photo, px of the input.
  """
  size = config.data.image_size
  for number in numbers:
    rows = range(
      number * batch_size, min((number + 1) * batch_size, len(photos))
    )
    batch = {
      'image': np.zeros((batch_size, size, size, 3), np.uint8),
      'heatmaps': np.zeros(
        (batch_size, size // STRIDE, size // STRIDE, 4), np.float32
      ),
      'mask': np.arange(batch_size) < len(rows),
    }
    middles, sides = [], []
    for i, row in enumerate(rows):
      batch['image'][i], scale = letterbox(photos.decode(row), size)
      middles.append(photos.middles[row] * scale)
      sides.append(photos.sides[row] * scale)
      batch['heatmaps'][i] = _target(middles[-1], sides[-1], size)
    yield batch, middles, sides


def require_people(photos: Photos) -> None:
  """Refuses photos in which nobody is annotated.

  Raises:
    UserError: says so.
  """
  if not sum(map(len, photos.sides)):
    raise UserError('the prepared photos have no people; prepare others.')
