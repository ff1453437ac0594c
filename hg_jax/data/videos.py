"""Videos, a frame at a time, with the FFmpeg inside OpenCV."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hg_jax.base.errors import UserError

_SUFFIXES = '.avi .m4v .mkv .mov .mp4 .mpeg .mpg .webm .wmv'.split()
_SLACK = 0.5  # s; containers round how long a video takes


def is_video(path: Path) -> bool:
  """Whether it is named as a video."""
  return path.suffix.lower() in _SUFFIXES


def read(path: Path) -> Iterator[np.ndarray]:  # u8[height, width, 3] RGB
  """The frames, turned as the video says.

  Raises:
    UserError: it is no video; or, after its frames, it was cut short.
  """
  if not path.is_file():
    raise UserError(f'{path} cannot be read: there is no such file.')
  capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
  if not capture.isOpened():
    raise UserError(f'{path} is not a video that OpenCV can decode.')
  frames, time = 0, 0.0
  try:
    while True:
      there, frame = capture.read()
      if not there:
        break
      yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
      frames += 1
      time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    rate = frames_per_second(path)
  finally:
    capture.release()
  if frames == 0 or time + 1 / rate < promised / rate - _SLACK:
    raise UserError(
      f'{path} is cut short: {frames} frames of {promised:.0f} could be read.'
    )


def frames_per_second(path: Path) -> float:
  """As the file says; 25 where it does not."""
  capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
  rate = capture.get(cv2.CAP_PROP_FPS)
  capture.release()
  return rate if np.isfinite(rate) and rate > 0 else 25.0


class Writer:
  """Writes an MPEG-4 video; all frames are of the first one's size."""

  def __init__(self, path: Path, rate: float):  # frames per second
    self._path = path
    self._rate = rate
    self._writer = None

  def add(self, picture: np.ndarray) -> None:  # u8[height, width, 3] RGB
    if self._writer is None:
      height, width = picture.shape[:2]
      self._writer = cv2.VideoWriter(
        str(self._path),
        cv2.CAP_FFMPEG,
        cv2.VideoWriter_fourcc(*'mp4v'),
        self._rate,
        (width, height),
      )
      if not self._writer.isOpened():
        raise UserError(f'{self._path} cannot be written.')
    self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

  def close(self) -> None:
    if self._writer is not None:
      self._writer.release()
