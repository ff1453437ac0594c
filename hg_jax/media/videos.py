"""Videos, a frame at a time, with the FFmpeg inside OpenCV."""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hg_jax.base.errors import UserError
from hg_jax.media import flv, matroska, mp4

SUFFIXES = (
  '.3g2 .3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts '
  '.vob .webm .wmv'
).split()
_SLACK = 0.5  # s; containers round how long a video takes
_DOUBTED = 100  # frames, the first ones, of which an equal one is looked into

# OpenCV gives a video up after so many packets of others in a row, by default
# 4,096: a minute and a half of sound, as between the pictures of slides.
os.environ.setdefault('OPENCV_FFMPEG_READ_ATTEMPTS', str(2**31 - 1))


def is_video(source: Path | str) -> bool:
  """Whether it is a camera, a URL, or named as a video."""
  return isinstance(source, str) or source.suffix.lower() in SUFFIXES


class Video:
  """An open video; iterating reads its frames and their times.

  Attributes:
    rate: frames per second, on average; 25 where the file does not say.
    frames: how many the file promises; None of cameras and streams.
  """

  def __init__(self, source: Path | str):
    """Opens a file, a camera by its number, or a URL.

    Raises:
      UserError: the file is missing, or OpenCV cannot decode it.
    """
    self._source = source
    self._seconds, self._matrix = None, None
    self._is_cut, self._counted = False, False
    if isinstance(source, str):
      # OpenCV crashes on text that is not UTF-8.
      url = source.encode('utf-8', 'replace').decode()
      camera = int(source) if source.isdecimal() else url
      self._capture = cv2.VideoCapture(camera)
    else:
      self._open(source)
    if not self._capture.isOpened():
      raise UserError(self._not_opened())
    rate = self._capture.get(cv2.CAP_PROP_FPS)
    self.rate = rate if np.isfinite(rate) and 0 < rate < 10_000 else 25.0
    frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
    self.frames = int(frames) if frames > 0 else None

  def _open(self, path: Path) -> None:
    if os.path.exists(path) and not path.is_file():
      raise UserError(f'{path} is no file; a video from a pipe is not read.')
    try:
      matrix = self._look_into(path)
    except OSError as error:
      raise UserError(f'{path} cannot be read: {error.strerror}.') from error
    with _named_for_opencv(path) as name:
      self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    if matrix is not None:
      # OpenCV takes a mirror for a turn by some angle.
      self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
      self._matrix = _nearest_quarter(matrix)

  def _look_into(self, path: Path) -> np.ndarray | None:  # f[2, 2]
    """Reads what OpenCV does not tell; returns how the picture is turned."""
    shown = mp4.presentation(path)
    self._is_cut = mp4.is_cut(path) or matroska.is_cut(path) or flv.is_cut(path)
    if shown is None:
      # Others give but how long they take, with their sound.
      with path.open('rb') as file:
        self._counted = file.read(4) == b'RIFF'  # AVI
      return matroska.matrix(path)
    if not shown.has_video:
      raise UserError(f'{path} has no video; it may have sound, and a cover.')
    self._counted, self._seconds = True, shown.seconds
    return shown.matrix

  def __enter__(self) -> 'Video':
    return self

  def __exit__(self, *_) -> None:
    self._capture.release()

  def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
    """Yields times, s, and pictures, u8[height, width, 3] RGB, upright.

    Raises:
      UserError: after the frames, if the video was cut short.
    """
    frames = self._read()
    if isinstance(self._source, Path):
      frames = self._without_stale(frames)
    count, time = 0, 0.0
    for time, frame in frames:
      picture = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
      if self._matrix is not None:
        picture = _move_pixels(picture, self._matrix)
      yield time, picture
      count += 1
    self._require_all(count, time)

  def _read(self) -> Iterator[tuple[float, np.ndarray]]:  # s, BGR
    """Yields frames at times that increase.

    Where the file has none, or its clock begins anew, a frame is shown as long
    as others are.
    """
    time, shift = -np.inf, 0.0
    while True:
      read, frame = self._capture.read()
      if not read:
        return
      said = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
      if np.isinf(time):
        time = max(said, 0.0)
      elif said + shift > time:
        time = said + shift
      else:
        time += 1 / self.rate
        shift = time - said
      yield time, frame

  def _without_stale(
    self, frames: Iterator[tuple[float, np.ndarray]]
  ) -> Iterator[tuple[float, np.ndarray]]:
    """Yields frames, each when it is known to be none that OpenCV left out.

    OpenCV cannot show an interlaced frame, and in silence gives what its memory
    has: the picture before, or anything.

    Raises:
      UserError: the video has interlaced frames.
    """
    before, count, doubted = None, 0, True
    for time, frame in frames:
      count += 1
      if before is not None:
        doubted = doubted and count <= _DOUBTED
        if doubted and np.array_equal(frame[::8], before[1][::8]):
          self._require_progressive(count)
          doubted = False
        yield before
      before = time, frame
    if count == 1:
      self._require_progressive(count)
    if before is not None:
      yield before

  def _require_progressive(self, frames: int) -> None:
    with _named_for_opencv(self._source) as name:
      # Only FFmpeg says so, on standard error.
      said = subprocess.run(
        [sys.executable, '-c', _SHOW, name, str(frames)],
        env=os.environ | {'OPENCV_FFMPEG_LOGLEVEL': '16'},  # AV_LOG_ERROR
        stdin=subprocess.DEVNULL,
        capture_output=True,
      )
    if b'Cannot convert interlaced' in said.stdout + said.stderr:
      raise UserError(
        f'{self._source} is interlaced, which OpenCV cannot show; convert it, '
        'such as with `ffmpeg -i VIDEO -vf yadif -c:v libx264 new.mp4`.'
      )

  def _require_all(self, count: int, time: float) -> None:
    """Raises UserError if fewer frames were read than the file promises."""
    if count == 0:
      raise UserError(
        f'{self._source} has no frame that can be decoded: it is cut short, '
        f'or OpenCV lacks its codec ({self._codec()}); convert it, such as '
        'with `ffmpeg -i VIDEO -c:v libx264 new.mp4`.'
      )
    promised = self.frames if self._counted else None
    if self._is_cut if promised is None else self._lacks(count, time):
      of = '' if promised is None else f' of {promised}'
      raise UserError(
        f'{self._source} is cut short: {count} frames{of} could be read; fetch '
        'it again.'
      )

  def _lacks(self, count: int, time: float) -> bool:
    if self._is_cut:
      return count < self.frames
    # An edit list leaves frames out, and the last frame may be shown for
    # long: only what lacks frames and time is cut short.
    end = time + 1 / self.rate + _SLACK
    seconds = self._seconds or self.frames / self.rate
    return (
      end < seconds and count / self.rate + _SLACK < self.frames / self.rate
    )

  def _not_opened(self) -> str:
    source = self._source
    if self._is_cut:
      return f'{source} is cut short, and no frame can be read; fetch it again.'
    if isinstance(source, Path):
      return f'{source} is not a video that OpenCV can decode.'
    if source.isdecimal():
      return f'there is no camera {source}, or another program uses it.'
    return f'{source} cannot be reached, or is no video that OpenCV can decode.'

  def _codec(self) -> str:
    code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
    return code.to_bytes(4, 'little', signed=code < 0).decode(
      'ascii', 'replace'
    )


# A program that shows the first frames of a video.
_SHOW = """
import sys, cv2
capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG)
for _ in range(int(sys.argv[2])):
  capture.read()
"""


def _nearest_quarter(matrix: np.ndarray) -> np.ndarray:
  """Leaves of a turn and a mirror what moves pixels to pixels."""
  (a, b), (c, d) = matrix
  straight = abs(a) + abs(d) >= abs(b) + abs(c)
  return np.sign(np.where(np.eye(2) == straight, matrix, 0)).astype(int)


def _move_pixels(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  """Turns and mirrors a picture by quarters, as its pixels' (x, y) move."""
  if matrix[0, 0] == 0:
    picture = picture.transpose(1, 0, 2)
    matrix = matrix[::-1]
  if matrix[0, 0] < 0:
    picture = picture[:, ::-1]
  if matrix[1, 1] < 0:
    picture = picture[::-1]
  return np.ascontiguousarray(picture)


@contextlib.contextmanager
def _named_for_opencv(path: Path) -> Iterator[str]:
  """A name of the file that OpenCV can take.

  It crashes on names that are not UTF-8, and takes 'a:b.mp4' for a protocol.
  """
  absolute = os.path.abspath(path)
  with contextlib.ExitStack() as stack:
    try:
      absolute.encode()
    except UnicodeEncodeError:
      folder = stack.enter_context(tempfile.TemporaryDirectory())
      link = os.path.join(folder, 'video' + ascii(path.suffix)[1:-1])
      os.symlink(absolute, link)
      absolute = link
    yield absolute


@functools.cache
def written_form() -> tuple[str, str]:
  """The codec and the suffix of videos that are written here.

  H.264 where OpenCV has it, else VP8, which browsers play too: OpenCV's VP9
  takes five times as long. MPEG-4 where it has neither.
  """
  for codec, suffix in (('avc1', '.mp4'), ('VP80', '.webm')):
    with tempfile.TemporaryDirectory() as folder:
      writer = _writer(Path(folder, f'try{suffix}'), codec, 25, (64, 64))
      opened = writer.isOpened()
      writer.release()
    if opened:
      return codec, suffix
  return 'mp4v', '.mp4'


def _writer(
  path: Path, codec: str, rate: float, size: tuple[int, int]
) -> cv2.VideoWriter:
  if codec == 'mp4v':
    # MPEG-4 has no rates of a numerator above 65,535.
    digits = next(d for d in (3, 2, 1, 0) if rate * 10**d < 65535)
    rate = round(rate, digits)
  with _named_for_opencv(path) as name, _without_stderr():
    return cv2.VideoWriter(
      name, cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, size
    )


def _encoded_frames(path: Path) -> int:
  """Counts the frames that a file holds, which its header only promises."""
  with _named_for_opencv(path) as name, _without_stderr():
    # As they are in the file; decoding them would take a hundred times as long.
    undecoded = [cv2.CAP_PROP_FORMAT, -1]
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, undecoded)
    frames = 0
    while capture.grab():
      frames += 1
    capture.release()
  return frames


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
  """Drops what OpenCV prints about codecs that it can write or cannot."""
  before = os.dup(2)
  with open(os.devnull, 'wb') as nowhere:
    os.dup2(nowhere.fileno(), 2)
  try:
    yield
  finally:
    os.dup2(before, 2)
    os.close(before)


class Writer:
  """Writes a video; all frames become of the first one's size.

  The file gets its name when it is complete.
  """

  def __init__(self, path: Path, rate: float):  # frames per second
    self._path = path
    self._new = path.with_name(f'.new{path.suffix}')
    self._rate = rate
    self._writer = None
    self._size = None
    self._frames = 0

  def add(self, picture: np.ndarray) -> None:  # u8[height, width, 3] RGB
    """Writes a frame.

    Raises:
      UserError: the file cannot be written.
    """
    if self._writer is None:
      self._size = picture.shape[1], picture.shape[0]
      codec, _ = written_form()
      self._writer = _writer(self._new, codec, self._rate, self._size)
      if not self._writer.isOpened():
        raise UserError(
          f'{self._path} cannot be written: OpenCV takes no video of '
          f'{self._size[0]} x {self._size[1]} px and {self._rate:g} frames/s.'
        )
    if (picture.shape[1], picture.shape[0]) != self._size:
      picture = cv2.resize(picture, self._size)
    self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    self._frames += 1

  def close(self) -> None:
    """Completes the file.

    Raises:
      UserError: it is not whole; OpenCV does not say of a full disk.
    """
    if self._writer is None:
      return
    self._writer.release()
    self._writer = None
    if _encoded_frames(self._new) < self._frames:
      self.discard()
      raise UserError(
        f'{self._path} could not be written to its end: is the disk full?'
      )
    self._new.replace(self._path)

  def discard(self) -> None:
    """Gives the file up."""
    if self._writer is not None:
      self._writer.release()
      self._writer = None
    self._new.unlink(missing_ok=True)
