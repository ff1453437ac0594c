"""Writes words on pictures: captions above them and tags in them.

Pictures are uint8[height, width, 3], RGB.
"""

from collections.abc import Sequence

import cv2
import numpy as np

INK = (16, 16, 16)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER = (28, 28, 28)
_LIGHT = (240, 240, 240)
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in gray

Place = tuple[int, int, int, int]  # left, top, right and bottom, px


def tag(
  picture: np.ndarray,  # uint8[..., ..., 3], drawn on
  text: str,
  point: np.ndarray,  # f[2] px; the middle of the tag's lower edge
  scale: float,
  *,
  color: tuple[int, int, int] = INK,  # of the background
  clear_of: Sequence[Place] = (),
) -> Place:
  """Writes a word on a background, in light or dark letters.

  Returns:
    Its place: within the picture, and next to the tags of `clear_of` if there
    is room.
  """
  width, height = round(width_of(text, scale)) + 6, round(24 * scale) + 6
  bottom = int(np.clip(point[1] + 3, height, picture.shape[0]))
  last = max(picture.shape[1] - width, 0)
  wanted = int(np.clip(point[0] - width / 2, 0, last))
  beside = [x for a, _, b, _ in clear_of for x in (a - width - 1, b + 1)]
  # The nearest free place, or the wanted one if none is free.
  lefts = sorted((wanted, *beside), key=lambda x: abs(x - wanted))
  places = [(x, bottom - height, x + width, bottom) for x in lefts]
  free = [
    place
    for place in places
    if 0 <= place[0] <= last and not any(_overlap(place, o) for o in clear_of)
  ]
  place = (free or places)[0]
  ink = INK if np.dot(color, _LUMA) > 110 else _LIGHT
  cv2.rectangle(picture, place[:2], place[2:], color, cv2.FILLED)
  _put(picture, text, (place[0] + 3, bottom - 3), scale, ink)
  return place


def _overlap(one: Place, other: Place) -> bool:
  apart = one[0] > other[2] or other[0] > one[2]
  return not (apart or one[1] > other[3] or other[1] > one[3])


def caption(width: int, text: str, *, height: int = 28) -> np.ndarray:
  """Returns a strip with a line of text that fits its width."""
  strip = blank(height, width)
  scale = height / 50
  room = (width - 16) / max(width_of(text, scale), 1)
  write(strip, text, 8, scale * min(1, room))
  return strip


def blank(height: int, width: int) -> np.ndarray:
  """Returns a dark background."""
  return np.full((height, width, 3), _PAPER, np.uint8)


def write(strip: np.ndarray, text: str, left: int, scale: float) -> None:
  """Writes a line of text at half of the strip's height."""
  baseline = round(strip.shape[0] / 2 + 10 * scale)
  _put(strip, text, (left, baseline), scale, _LIGHT)


def width_of(text: str, scale: float) -> int:
  """Returns the width of a line of text, px."""
  return cv2.getTextSize(utf8(text), _FONT, scale, 1)[0][0]


def utf8(text: str) -> str:
  """Replaces what is not UTF-8 in names of files, for OpenCV raises on it."""
  return text.encode('utf-8', 'replace').decode()


def _put(picture, text, corner, scale, color):
  cv2.putText(picture, utf8(text), corner, _FONT, scale, color, 1, cv2.LINE_AA)
