"""Writes videos a frame at a time, with FFmpeg through PyAV."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import (
  ColorPrimaries,
  ColorRange,
  Colorspace,
  ColorTrc,
  VideoReformatter,
)

from hg_jax.base.errors import UserError

SUFFIX = '.mp4'

_TICKS = 90_000  # a second; MPEG's clock


class VideoWriter:
  """Writes H.264 in MP4; all frames get the size of the first one.

  The file gets its name when it is complete.
  """

  def __init__(self, path: Path, rate: float):  # frames per second
    self._path = path
    self._new = path.with_name(f'.new{path.suffix}')
    self._rate = rate
    self._container = None
    self._converter = VideoReformatter()
    self._ticks = -1

  def add(
    self,
    picture: np.ndarray,  # u8[height, width, 3] RGB
    time: float,  # s
  ) -> None:
    """Writes a frame; one of another size is scaled.

    Raises:
      UserError: the file cannot be written, such as to a full disk.
    """
    with self._one_line():
      if self._container is None:
        self._start(*picture.shape[:2])
      if picture.shape[:2] != self._size:
        picture = cv2.resize(picture, self._size[::-1])
      # H.264 with half the resolution of colors needs even sizes.
      bottom, right = (side % 2 for side in self._size)
      if bottom or right:
        picture = np.pad(picture, ((0, bottom), (0, right), (0, 0)), 'edge')
      frame = self._converter.reformat(
        av.VideoFrame.from_ndarray(picture, format='rgb24'),
        format='yuv420p',
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
      )
      self._ticks = max(round(time * _TICKS), self._ticks + 1)
      frame.pts, frame.time_base = self._ticks, Fraction(1, _TICKS)
      self._container.mux(self._stream.encode(frame))

  def _start(self, height: int, width: int) -> None:
    self._size = height, width
    # With its index in front, browsers play it while they load it.
    self._container = av.open(
      f'file:{self._new}', 'w', options={'movflags': 'faststart'}
    )
    self._stream = self._container.add_stream(
      'libx264',
      rate=Fraction(self._rate).limit_denominator(100_000),
      options={'preset': 'veryfast', 'crf': '20'},
    )
    codec = self._stream.codec_context
    codec.width, codec.height = width + width % 2, height + height % 2
    codec.pix_fmt, codec.time_base = 'yuv420p', Fraction(1, _TICKS)
    codec.thread_type = 'AUTO'
    # Players that have to guess these shift the colors.
    codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    self._container.start_encoding()

  def close(self) -> None:
    """Completes the file.

    Raises:
      UserError: the file cannot be written.
    """
    if self._container is None:
      return
    with self._one_line():
      self._container.mux(self._stream.encode(None))
      self._container.close()
      self._container = None
      self._new.replace(self._path)

  def discard(self) -> None:
    """Stops writing, and leaves no file."""
    if self._container is not None:
      with contextlib.suppress(av.FFmpegError):
        self._container.close()
      self._container = None
    self._new.unlink(missing_ok=True)

  @contextlib.contextmanager
  def _one_line(self) -> Iterator[None]:
    try:
      yield
    except (OSError, av.FFmpegError) as error:
      self.discard()
      raise UserError(
        f'{self._path} cannot be written: {error.strerror}.'
      ) from error
