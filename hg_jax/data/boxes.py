"""Boxes about people in images: x, y, width and height in px."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hg_jax.base.errors import UserError

Box = tuple[float, float, float, float]
Boxes = dict[str, list[Box]]  # by the image's path or name

# Of a person's square over the longer side of the box about the person: MPII
# allows as much about a person's height (SPEC 2.1).
ROOM = 1.25


def box_of(box: Sequence[float]) -> Box:
  """The box, which must be one.

  Raises:
    UserError: it is not four finite numbers, or less than a pixel.
  """
  try:
    x, y, w, h = (float(number) for number in box)
  except (TypeError, ValueError):
    x = y = w = h = np.nan
  if not np.isfinite([x, y, w, h]).all() or min(w, h) < 1:
    raise UserError(
      f'box {box} must be x,y,width,height: four numbers in px, '
      'the last two at least 1.'
    )
  return x, y, w, h


def square(
  box: Sequence[float],  # x, y, width, height; px of the image
  width: int,
  height: int,
) -> tuple[np.ndarray, float]:  # f64[2], px
  """Center and side of the square that the network sees of a box.

  Raises:
    UserError: the box is none, or lies outside an image of this size.
  """
  x, y, w, h = box_of(box)
  if x >= width or y >= height or x + w <= 0 or y + h <= 0:
    raise UserError(
      f'box {box} lies outside the image of {width} x {height} px.'
    )
  return np.array([x + w / 2, y + h / 2]), ROOM * max(w, h)


def read_boxes(box: list[str] | None, path: str | None) -> Boxes | Box | None:
  """The boxes of the flags: by file, one for all, or none.

  Raises:
    UserError: one is no box, or the file is none of boxes.
  """
  if box and path:
    raise UserError('give --box or --boxes, not both.')
  if box:
    return box_of(box)
  if not path:
    return None
  try:
    given = json.loads(Path(path).read_text())
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from error
  except ValueError as error:
    raise UserError(f'{path} is not JSON: {error}.') from error
  if not isinstance(given, dict) or not all(
    isinstance(boxes, list) for boxes in given.values()
  ):
    raise UserError(
      f'{path} must be {{"photo.jpg": [[x, y, width, height], ...], ...}}.'
    )
  try:
    return {
      name: [box_of(box) for box in boxes] for name, boxes in given.items()
    }
  except UserError as error:
    raise UserError(f'{path}: {error}') from error


def boxes_of(path: Path, boxes: Boxes | Box | None) -> list[Box] | None:
  """A file's people; None: the whole image is one."""
  if isinstance(boxes, dict):
    return boxes.get(str(path), boxes.get(path.name))
  return boxes and [boxes]
