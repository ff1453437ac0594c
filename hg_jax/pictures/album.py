"""Draws the people of photos and frames, and names the pictures.

Axes: P people, K joints.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from hg_jax.base.skeleton import Skeleton
from hg_jax.pictures import figures, lettering

# Bytes of a name. File systems take 255 with number, kind and suffix.
_LONGEST = 200
_SIDE = 384, 1280  # px, the range of an overlay's longer side

# Of people, by number. Neighbors differ in hue and lightness.
_COLORS = [
  tuple(bytes.fromhex(color))
  for color in (
    'ff8c00 3caaff 78dc3c f046c8 fae63c 00c8aa eb3c32 9678ff c8f5c8 aa6e32 '
    'ffaac8 286e8c'
  ).split()
]


def color_of(number: int) -> tuple[int, int, int]:
  """Returns the color of a person, by number, in pictures of several."""
  return _COLORS[(number - 1) % len(_COLORS)]


def resized(
  picture: np.ndarray,  # u8[height, width, 3]
) -> np.ndarray:  # u8[..., ..., 3]
  """Copies a picture in a size in which lines of two px are visible."""
  height, width = picture.shape[:2]
  longer = max(height, width)
  factor = float(np.clip(longer, *_SIDE)) / longer
  size = max(round(width * factor), 1), max(round(height * factor), 1)
  if factor == 1:
    return picture.copy()
  way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
  return cv2.resize(picture, size, interpolation=way)


def overlay(
  drawn: np.ndarray,  # u8[..., ..., 3] RGB, as `resized` gives it; drawn on
  shape: tuple[int, int],  # height and width of the photo, px
  joints: np.ndarray,  # f[P, K, 2] px of the photo
  scores: np.ndarray,  # f[P, K]
  ids: Sequence[int],
  skeleton: Skeleton,
  *,
  threshold: float,
  write_scores: bool = False,
) -> np.ndarray:  # u8[..., ..., 3]
  """Draws the people's joints that score `threshold` or more.

  The right and left of a single person have two colors. Several people have
  a color and a number each. Larger people have wider lines.
  """
  height, width = shape
  factor = np.divide(drawn.shape[1::-1], (width, height))
  several = len(ids) > 1
  tags = []
  for person, number in enumerate(ids):
    points, seen = joints[person] * factor, scores[person] >= threshold
    if not seen.any():
      continue
    extent = float(np.ptp(points[seen], axis=0).max())
    color = color_of(number) if several else None
    line = int(np.clip(round(extent / 120), 2, 8))
    figures.draw_pose(
      drawn, points, seen, skeleton, color=color, line_width=line
    )
    text = f'{number}' if several else ''
    if write_scores:
      text += f' {scores[person][seen].mean():.2f}'
    top = points[seen][points[seen][:, 1].argmin()]
    tags.append((text.strip(), top, color))
    if write_scores:
      for joint in np.flatnonzero(seen):
        lettering.tag(
          drawn, f'{scores[person][joint]:.2f}', points[joint], 0.35
        )
  places = []
  for text, top, color in tags:  # after all lines, to cover them
    if text:
      background = color or lettering.INK
      place = lettering.tag(
        drawn, text, top - [0, 12], 0.7, color=background, clear_of=places
      )
      places.append(place)
  return drawn


class Names:
  """Gives each photo and video a name of its own in one folder."""

  def __init__(self, taken: Iterable[str]):
    self._taken = {_same(name) for name in taken}
    self._count = {}  # of files, by stem

  def of(self, path: Path | str) -> str:
    """Returns a file's name without its suffix, numbered if it is taken."""
    stem = path.stem if isinstance(path, Path) else _of_stream(path)
    while len(os.fsencode(stem)) > _LONGEST:
      stem = stem[:-1]
    count = self._count.get(stem, 1)
    while (
      _same(name := stem if count == 1 else f'{stem}_{count}') in self._taken
    ):
      count += 1
    self._count[stem] = count
    self._taken.add(_same(name))
    return name


def _same(name: str) -> str:
  """Returns the same for names that are one name to some file systems."""
  return unicodedata.normalize('NFC', name).casefold()


def _of_stream(source: str) -> str:
  if source.isdecimal():
    return f'camera_{source}'
  name = source.split('?')[0].rstrip('/').rsplit('/', 1)[-1]
  return re.sub(r'[^\w.-]', '_', Path(name).stem) or 'stream'
