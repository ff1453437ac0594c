"""Draws truth and predictions over crops of people, and sheets of pictures.

Pictures are uint8[height, width, 3], RGB. Joints are px of the crop, in the
continuous coordinates of `affine`.

Axes: S side of the crop px, K joints, P people.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from hg_jax.base import files
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.pictures import lettering

# Orange and sky blue differ for every kind of color vision, and in gray.
SIDES = {
  'right': (240, 150, 0),
  'left': (70, 180, 245),
  'center': (205, 205, 205),
}
TRUTH = (255, 255, 255)
CORRECT = (255, 120, 200)
WRONG = (225, 0, 0)
LEGEND = {
  'truth': TRUTH,
  'correct': CORRECT,
  'wrong': WRONG,
  "person's right": SIDES['right'],
  "person's left": SIDES['left'],
}

_FRACTION_BITS = 4  # OpenCV draws at multiples of 1/16 px


def annotated(
  crop: np.ndarray,  # uint8[S, S, 3]
  joints: np.ndarray,  # f32[K, 2] px of the crop
  labeled: np.ndarray,  # bool[K]; only these are drawn
  skeleton: Skeleton,
) -> np.ndarray:  # uint8[F * S, F * S, 3], F the least integer for 384 px
  """Draws joints and limbs, the person's right and left in two colors."""
  picture, factor = enlarge(crop, 384)
  points = np.asarray(joints, np.float64) * factor
  draw_pose(picture, points, labeled, skeleton)
  return picture


def draw_pose(
  picture: np.ndarray,  # uint8[..., ..., 3], drawn on
  joints: np.ndarray,  # f[K, 2] px of the picture
  labeled: np.ndarray,  # bool[K]; only these are drawn
  skeleton: Skeleton,
  *,
  color: tuple[int, int, int] | None = None,
  line_width: int = 2,  # px
) -> None:
  """Draws joints and limbs in one color, or right and left in two."""
  _draw_limbs(picture, joints, labeled, skeleton, color, line_width)
  for joint in np.flatnonzero(labeled):
    side = SIDES[skeleton.side(joint)]
    _dot(picture, joints[joint], color or side, radius=3 + line_width / 2)


def overlay(
  crop: np.ndarray,  # uint8[S, S, 3]
  *,
  joints: np.ndarray,  # f32[K, 2] px of the crop, the truth
  labeled: np.ndarray,  # bool[K]; only these are drawn
  predictions: np.ndarray,  # f32[K, 2] px of the crop
  correct: np.ndarray,  # bool[K]
  radius: float,  # px of the crop; predictions within it are correct
  skeleton: Skeleton,
  title: str,
) -> np.ndarray:  # uint8[F * S + title, F * S, 3]
  """Draws one person's prediction and truth, as Figure 9 of the report.

  White dots are the truth; a correct prediction lies within the ring around
  it. Pink dots are correct predictions. Red dots are wrong ones, with a line
  to the truth. Limbs join the predictions.
  """
  picture, factor = enlarge(crop, 384)
  truth = np.asarray(joints, np.float64) * factor
  guess = np.asarray(predictions, np.float64) * factor
  _draw_limbs(picture, guess, labeled, skeleton)
  drawn = np.flatnonzero(labeled)
  for joint in drawn:
    ring(picture, truth[joint], TRUTH, radius=radius * factor)
  for joint in drawn:
    if not correct[joint]:
      _line(picture, truth[joint], guess[joint], WRONG, thickness=1)
  for joint in drawn:
    _dot(picture, truth[joint], TRUTH, radius=4.5)
  for joint in drawn:
    color = CORRECT if correct[joint] else WRONG
    _dot(picture, guess[joint], color, radius=4.5)
  return np.vstack([lettering.caption(picture.shape[1], title), picture])


def sheet(
  pictures: Sequence[np.ndarray],  # each uint8[..., ..., 3], of any size
  columns: int,
  *,
  title: str = '',
  legend: Mapping[str, tuple[int, int, int]] | None = None,
) -> np.ndarray:  # uint8[..., ..., 3]
  """Arranges pictures in rows, in cells as large as the largest of them.

  A line with the title and one with the legend, colors by their meaning, are
  above.
  """
  gap = 8
  columns = min(columns, len(pictures))
  rows = math.ceil(len(pictures) / columns)
  height = max(picture.shape[0] for picture in pictures) + gap
  width = max(picture.shape[1] for picture in pictures) + gap
  page = lettering.blank(rows * height + gap, columns * width + gap)
  for cell, picture in enumerate(pictures):
    top = gap + cell // columns * height
    left = gap + cell % columns * width
    top += (height - gap - picture.shape[0]) // 2
    left += (width - gap - picture.shape[1]) // 2
    page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
  lines = [lettering.caption(page.shape[1], title, height=44)] if title else []
  lines += [_legend(page.shape[1], legend)] if legend else []
  return np.vstack([*lines, page])


def worst_and_random(
  correct: np.ndarray,  # bool[P, K]
  labeled: np.ndarray,  # bool[P, K]
  *,
  count: int,
  seed: int = 0,
) -> dict[str, np.ndarray]:  # 'worst', 'random': i64[<= count] rows
  """Chooses people to draw among those with a labeled joint.

  The worst have the smallest fraction of their labeled joints correct, and
  among equals the most joints wrong.
  """
  people = np.flatnonzero(labeled.any(axis=1))
  total = labeled[people].sum(axis=1)
  hits = (correct & labeled)[people].sum(axis=1)
  worst = people[np.lexsort([hits - total, hits / total])]
  random = np.random.default_rng(seed).permutation(people)
  return {'worst': worst[:count], 'random': np.sort(random[:count])}


def save_overlays(
  directory: str | pathlib.Path,
  chosen: Mapping[str, Sequence[int]],  # rows by the name of their sheet
  *,
  crops: Mapping[int, np.ndarray] | Sequence[np.ndarray],  # of chosen rows
  joints: np.ndarray,  # f32[P, K, 2] px of the crop
  labeled: np.ndarray,  # bool[P, K]
  predictions: np.ndarray,  # f32[P, K, 2] px of the crop
  correct: np.ndarray,  # bool[P, K]
  radius: np.ndarray,  # f32[P] px of the crop; correct ones lie within it
  metric: str,  # that decides what is correct
  names: Sequence[str],  # P names, such as that of the image
  skeleton: Skeleton,
) -> list[pathlib.Path]:
  """Writes a sheet of overlays, such as `overlay_worst.png`, per choice.

  A choice without rows writes nothing.
  """
  paths = []
  for choice, rows in chosen.items():
    pictures = []
    for row in rows:
      total = int(labeled[row].sum())
      hits = int((correct[row] & labeled[row]).sum())
      percent = 100 * hits / total
      pictures.append(
        overlay(
          crops[row],
          joints=joints[row],
          labeled=labeled[row],
          predictions=predictions[row],
          correct=correct[row],
          radius=float(radius[row]),
          skeleton=skeleton,
          title=f'{names[row]}   {hits}/{total}   {metric} {percent:.0f}',
        )
      )
    if pictures:
      title = (
        f'{choice.capitalize()} {len(pictures)} of {len(names):,} people; '
        'predictions within a ring are correct'
      )
      page = sheet(pictures, columns=4, title=title, legend=LEGEND)
      paths.append(pathlib.Path(directory) / f'overlay_{choice}.png')
      write(paths[-1], page)
  return paths


def write(path: str | pathlib.Path, picture: np.ndarray) -> None:
  """Writes an RGB picture in the format of the path's suffix.

  Raises:
    UserError: no picture has this suffix, or the file cannot be written.
  """
  path = pathlib.Path(path)
  suffix = lettering.utf8(path.suffix)
  if not cv2.haveImageWriter(f'picture{suffix}'):
    raise UserError(f'{path} is not a picture; name it .png or .jpg.')
  _, encoded = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
  with system_errors(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Thousands of files need not wait for the disk; they can be drawn again.
    files.write(path, encoded.tobytes(), survives_power_loss=False)


def enlarge(
  crop: np.ndarray,  # uint8[S, S, 3]
  smallest: int,  # px
) -> tuple[np.ndarray, int]:  # uint8[F * S, F * S, 3], F
  """Enlarges and darkens a crop to draw on; also returns the factor."""
  factor = max(1, math.ceil(smallest / crop.shape[0]))
  picture = cv2.resize(
    crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC
  )
  return cv2.convertScaleAbs(picture, alpha=0.8), factor


def ring(
  picture: np.ndarray,  # uint8[..., ..., 3], drawn on
  center: np.ndarray,  # f[2] px
  color: tuple[int, int, int],
  *,
  radius: float,  # px
) -> None:
  """Draws a thin circle with a dark rim."""
  _circle(picture, center, lettering.INK, radius, thickness=3)
  _circle(picture, center, color, radius, thickness=1)


def _dot(picture, center, color, *, radius):
  """Draws a disk with a dark rim, which is visible on any background."""
  _circle(picture, center, lettering.INK, radius + 1.5, thickness=cv2.FILLED)
  _circle(picture, center, color, radius, thickness=cv2.FILLED)


def _circle(picture, center, color, radius, *, thickness):
  center, radius = _fixed_point(center), round(radius * 2**_FRACTION_BITS)
  cv2.circle(
    picture, center, radius, color, thickness, cv2.LINE_AA, _FRACTION_BITS
  )


def _draw_limbs(picture, points, labeled, skeleton, color=None, width=2):
  """Draws limbs between labeled joints, in the color or that of their side."""
  for a, b in skeleton.limbs:
    if labeled[a] and labeled[b]:
      sides = {skeleton.side(a), skeleton.side(b)} - {'center'}
      side = SIDES[sides.pop() if len(sides) == 1 else 'center']
      _line(picture, points[a], points[b], lettering.INK, thickness=width + 2)
      _line(picture, points[a], points[b], color or side, thickness=width)


def _line(picture, start, end, color, *, thickness):
  start, end = _fixed_point(start), _fixed_point(end)
  cv2.line(picture, start, end, color, thickness, cv2.LINE_AA, _FRACTION_BITS)


def _fixed_point(point):
  """OpenCV has a pixel's center at its index; we have it 0.5 px further."""
  x, y = np.round((np.asarray(point) - 0.5) * 2**_FRACTION_BITS).astype(int)
  return int(x), int(y)


def _legend(width, colors):
  """Returns a strip that explains the colors."""
  strip = lettering.blank(34, width)
  step = (width - 16) / len(colors)
  scale = min(
    0.6, *(0.6 * (step - 40) / lettering.width_of(text, 0.6) for text in colors)
  )
  for number, (text, color) in enumerate(colors.items()):
    left = 8 + round(min(step, 190) * number)
    _dot(strip, (left + 10, strip.shape[0] / 2), color, radius=7)
    lettering.write(strip, text, left + 24, scale)
  return strip
