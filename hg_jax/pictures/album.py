"""The people of photos and frames, drawn, and what the pictures are called.

Axes: P people, K joints.
"""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from hg_jax.base.skeleton import Skeleton
from hg_jax.pictures import figures, lettering

# Bytes; file systems take 255 with the number, the kind and the suffix.
_LONGEST = 200
_SIDE = 384, 1280  # px, least and greatest longer side of an overlay

# Of people, by number. Neighbors differ in hue and lightness.
_COLORS = (
  (255, 140, 0),
  (60, 170, 255),
  (120, 220, 60),
  (240, 70, 200),
  (250, 230, 60),
  (0, 200, 170),
  (235, 60, 50),
  (150, 120, 255),
  (200, 245, 200),
  (170, 110, 50),
  (255, 170, 200),
  (40, 110, 140),
)


def color_of(number: int) -> tuple[int, int, int]:
  """The color of a person in pictures of several, by the person's number."""
  return _COLORS[(number - 1) % len(_COLORS)]


def resized(
  picture: np.ndarray,  # u8[height, width, 3]
) -> np.ndarray:  # u8[..., ..., 3]
  """A copy whose longer side shows lines two px wide."""
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
  """Draws the people, those joints that score `threshold` or more.

  One person's right and left have two colors; several people have a color
  and a number each. Lines are wider the larger a person is.
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
  for text, top, color in tags:  # above all lines
    if text:
      ground = color or lettering.INK
      place = lettering.tag(
        drawn, text, top - [0, 12], 0.7, color=ground, clear_of=places
      )
      places.append(place)
  return drawn


class Names:
  """Names of pictures in a folder, one for each file whatever its folder."""

  def __init__(self, taken: Iterable[str]):
    """Keeps clear of names that are `taken`."""
    self._taken = {_same(name) for name in taken}
    self._count = {}  # of files, by stem

  def of(self, path: Path | str) -> str:
    """A new name for a file: its own without suffix, numbered if taken.

    One that is too long for what is added to it is cut.
    """
    stem = Path(path).stem if isinstance(path, Path) else _of_stream(path)
    stem = _short(stem)
    count = self._count.get(stem, 1)
    while (
      _same(name := stem if count == 1 else f'{stem}_{count}') in self._taken
    ):
      count += 1
    self._count[stem] = count
    self._taken.add(_same(name))
    return name


def _short(stem: str) -> str:
  while len(os.fsencode(stem)) > _LONGEST:
    stem = stem[:-1]
  return stem


def _same(name: str) -> str:
  """Equal for names that some file system takes for one."""
  return unicodedata.normalize('NFC', name).casefold()


def _of_stream(source: str) -> str:
  if source.isdecimal():
    return f'camera_{source}'
  name = source.split('?')[0].rstrip('/').rsplit('/', 1)[-1]
  stem = Path(name).stem
  return (
    ''.join(c if c.isalnum() or c in '-_.' else '_' for c in stem) or 'stream'
  )
