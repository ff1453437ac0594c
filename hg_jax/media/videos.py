"""Reads and writes videos, a frame at a time, with FFmpeg through PyAV.

PyAV's wheels hold FFmpeg: what can be read does not depend on the machine.
"""

import errno
import platform
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from hg_jax.base.errors import UserError

SUFFIXES = (
  '.3g2 .3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts '
  '.vob .webm .wmv'
).split()
WRITTEN_SUFFIX = '.mp4'
_PATIENCE = 30.0  # s, for a URL
# FFmpeg's name of what cameras are read with, and of a camera by its number.
_CAMERAS = {
  'Linux': ('v4l2', '/dev/video{}'),
  'Darwin': ('avfoundation', '{}'),
  'Windows': ('dshow', 'video={}'),
}
# FFmpeg counts the frames of AVI, and of others from how long they take.
_SLACK = 0.1
_TICKS = 90_000  # a second, of written times
_QUALITY = {'preset': 'veryfast', 'crf': '20'}
_FAILURES = (av.FFmpegError, OSError)


def is_video(source: Path | str) -> bool:
  """Tells whether this is a camera, a URL, or a file named as a video."""
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
      UserError: the source is missing or has no video that FFmpeg can decode.
    """
    self._source = source
    if isinstance(source, Path) and source.exists() and not source.is_file():
      raise UserError(f'{source} is not a file; videos are read from files.')
    self._is_cut = isinstance(source, Path) and _segment_is_cut(source)
    try:
      self._container = _open(source)
    except _FAILURES as error:
      raise UserError(_not_opened(source, error)) from error
    videos = [
      stream
      for stream in self._container.streams.video
      if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not videos:
      has_others = bool(self._container.streams)
      self._container.close()
      what = 'has no video; it may have sound, and a cover'
      cut = 'is cut short: it has no video; fetch it again'
      raise UserError(f'{source} {what if has_others else cut}.')
    self._stream = videos[0]
    if self._stream.codec_context is None:
      raise UserError(f'{source} has a video of a codec that FFmpeg lacks.')
    self._stream.thread_type = 'AUTO'
    rate = self._stream.average_rate
    self.rate = float(rate) if rate else 25.0
    entries = len(self._stream.index_entries or ())
    is_mov = 'mov' in self._container.format.name.split(',')
    self._counted = entries if is_mov else 0
    self.frames = self._counted or self._stream.frames or None

  def __enter__(self) -> 'Video':
    return self

  def __exit__(self, *_) -> None:
    # Else FFmpeg's threads stay.
    self._container.close()

  def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
    """Yields times, s, and pictures, u8[height, width, 3] RGB, upright.

    Frames are deinterlaced where they are interlaced, and turned and mirrored
    as the file says. The first is at 0 s; times increase.

    Raises:
      UserError: after the frames, if the video was cut short or is damaged.
    """
    matrix, count = None, 0
    for time, frame in _rising(_deinterlaced(self._decoded()), self.rate):
      picture = frame.to_ndarray(format='rgb24')
      if matrix is None:
        matrix = _display_matrix(frame)
      count += 1
      yield time, _moved(picture, matrix)
    self._require_all(count)

  def _decoded(self) -> Iterator[av.VideoFrame]:
    self._packets, self._last_is_cut = 0, {}
    try:
      for packet in self._container.demux():
        if packet.size:
          self._last_is_cut[packet.stream.index] = packet.is_corrupt
        if packet.stream is not self._stream or not packet.size:
          continue
        self._packets += 1
        yield from self._frames_of(packet)
    except (*_FAILURES, IndexError):
      self._is_cut = True
    yield from self._frames_of(None)

  def _frames_of(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
    """Decodes a packet, or with None what the decoder still holds."""
    try:
      for frame in self._stream.decode(packet):
        if frame.time_base is None or not frame.time_base:
          frame.time_base = self._stream.time_base
        yield frame
    except EOFError:
      pass
    except _FAILURES:
      self._is_cut = True

  def _require_all(self, count: int) -> None:
    if not count:
      raise UserError(
        f'{self._source} has no frame that can be decoded: it is cut short or '
        'damaged; fetch it again.'
      )
    if self.frames is None and isinstance(self._source, str):
      return
    promised = self.frames or 0
    lacking = self._packets < (
      self._counted or (1 - _SLACK) * promised if self.frames else 0
    )
    if self._is_cut or lacking or any(self._last_is_cut.values()):
      of = f' of {promised}' if promised > count else ''
      raise UserError(
        f'{self._source} is cut short or damaged: {count} frames{of} could be '
        'read; fetch it again.'
      )


def _open(source: Path | str) -> av.container.InputContainer:
  options = {}
  if int(av.__version__.split('.')[0]) < 19:  # The default later.
    options['metadata_errors'] = 'replace'
  if isinstance(source, Path):
    # As it is; FFmpeg takes what is before a colon for a protocol.
    return av.open(f'file:{source.absolute()}', **options)
  if source.isdecimal():
    form, name = _CAMERAS.get(platform.system(), _CAMERAS['Linux'])
    return av.open(name.format(source), format=form, **options)
  return av.open(source, timeout=_PATIENCE, **options)


def _segment_is_cut(path: Path) -> bool:
  """Tells whether an MKV or WebM file ends before its segment does."""
  try:
    with path.open('rb') as file:
      head = file.read(4096)
  except OSError:
    return False  # What opens it says why.
  before, name, _ = head.partition(b'\x18\x53\x80\x67')
  at = len(before) + len(name)
  if not (head.startswith(b'\x1a\x45\xdf\xa3') and name and head[at]):
    return False
  begins = at + 9 - head[at].bit_length()  # the first bit set says how many
  bits = 7 * (begins - at)
  size = int.from_bytes(head[at:begins], 'big') % (1 << bits)
  unknown = (1 << bits) - 1  # as where it was recorded live
  return size != unknown and path.stat().st_size < begins + size


def _not_opened(source: Path | str, error: Exception) -> str:
  reason = getattr(error, 'strerror', None) or str(error)
  if isinstance(source, Path):
    if isinstance(error, av.InvalidDataError):
      return (
        f'{source} is cut short or not a video: FFmpeg cannot read it; fetch '
        'it again.'
      )
    return f'{source} cannot be read: {reason}.'
  if source.isdecimal():
    return f'camera {source} cannot be opened: {reason}.'
  return f'{source} cannot be read as a video: {reason}.'


def _deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
  """Passes frames through FFmpeg's bwdif from the first interlaced one on."""
  graph, form = None, None
  for frame in frames:
    if graph is None and not frame.interlaced_frame:
      yield frame
      continue
    if form != (form := (frame.width, frame.height, frame.format.name)):
      yield from _pulled(graph, None)
      graph = _bwdif(frame)
    yield from _pulled(graph, frame)
  yield from _pulled(graph, None)


def _bwdif(frame: av.VideoFrame) -> av.filter.Graph:
  graph = av.filter.Graph()
  source = graph.add_buffer(
    width=frame.width,
    height=frame.height,
    format=frame.format,
    time_base=frame.time_base,
  )
  bwdif = graph.add('bwdif', 'mode=send_frame:deint=interlaced')
  sink = graph.add('buffersink')
  source.link_to(bwdif)
  bwdif.link_to(sink)
  graph.configure()
  return graph


def _pulled(
  graph: av.filter.Graph | None, frame: av.VideoFrame | None
) -> Iterator[av.VideoFrame]:
  """Pushes a frame, or the end, and yields what is ready."""
  if graph is None:
    return
  graph.push(frame)
  while True:
    try:
      yield graph.pull()
    except (av.BlockingIOError, av.EOFError):
      return


def _rising(
  frames: Iterator[av.VideoFrame], rate: float
) -> Iterator[tuple[float, av.VideoFrame]]:
  """Yields frames with times from 0 that increase.

  Where a frame has no time, or the clock starts again, as where broadcasts were
  joined, the frame before is shown for as long as frames are on average.
  """
  time, shift = None, 0.0
  for frame in frames:
    said = frame.time
    if time is None:
      time, shift = 0.0, -(said or 0.0)
    elif said is not None and said + shift > time:
      time = said + shift
    else:
      time += 1 / rate
      shift = time - (said or 0.0)
    yield time, frame


def _display_matrix(frame: av.VideoFrame) -> np.ndarray:  # i[2, 2]
  """Returns how the file moves pixels' (x, y), to the nearest quarter turn."""
  # `frame.rotation` knows no mirrors. PyAV 18 keeps each frame whose side data
  # are asked for, so only the first one's are.
  data = frame.side_data.get('DISPLAYMATRIX')
  if data is None:
    return np.eye(2, dtype=int)
  matrix = np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2].astype(int)
  (a, b), (c, d) = matrix
  straight = abs(a) + abs(d) >= abs(b) + abs(c)
  return np.sign(np.where(np.eye(2) == straight, matrix, 0))


def _moved(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  """Turns and mirrors a picture by quarters, as its pixels' (x, y) move."""
  if matrix[0, 0] == 0:
    picture = picture.transpose(1, 0, 2)
    matrix = matrix[::-1]
  if matrix[0, 0] < 0:
    picture = picture[:, ::-1]
  if matrix[1, 1] < 0:
    picture = picture[::-1]
  return np.ascontiguousarray(picture)


class Writer:
  """Writes H.264 in MP4; all frames become of the first one's size.

  The file gets its name when it is complete.
  """

  def __init__(self, path: Path, rate: float):  # frames per second
    self._path = path
    self._new = path.with_name(f'.new{path.suffix}')
    self._rate = rate
    self._container = self._stream = self._size = None
    self._ticks = -1

  def add(self, picture: np.ndarray, time: float | None = None) -> None:
    """Writes a frame.

    Args:
      picture: u8[height, width, 3] RGB; an odd side gets a pixel more.
      time: s; by default one frame's after the frame before.

    Raises:
      UserError: the file cannot be written.
    """
    try:
      if self._container is None:
        self._begin(picture)
      self._encode(picture, time)
    except _FAILURES as error:
      raise self._refused(error) from error

  def _begin(self, picture: np.ndarray) -> None:
    self._container = av.open(
      f'file:{self._new.absolute()}',
      'w',
      format='mp4',
      options={'movflags': 'faststart'},  # so that browsers need not wait
    )
    self._size = picture.shape[1], picture.shape[0]
    rate = Fraction(self._rate).limit_denominator(1001)
    stream = self._container.add_stream('libx264', rate=rate, options=_QUALITY)
    stream.width, stream.height = (side + side % 2 for side in self._size)
    stream.pix_fmt = 'yuv420p'
    stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
    # Said in the file, too, else players take others.
    stream.codec_context.colorspace = Colorspace.ITU709
    stream.codec_context.color_range = ColorRange.MPEG
    self._container.start_encoding()  # Opens the file.
    self._stream = stream

  def _encode(self, picture: np.ndarray, time: float | None) -> None:
    if (picture.shape[1], picture.shape[0]) != self._size:
      picture = cv2.resize(picture, self._size)
    odd = [side % 2 for side in self._size]
    picture = np.pad(picture, ((0, odd[1]), (0, odd[0]), (0, 0)), 'edge')
    frame = av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(
      format='yuv420p',
      dst_colorspace=Colorspace.ITU709,
      dst_color_range=ColorRange.MPEG,
    )
    step = round(_TICKS / self._rate)
    wanted = self._ticks + step if time is None else round(time * _TICKS)
    self._ticks = max(wanted, self._ticks + 1, 0)
    frame.pts, frame.time_base = self._ticks, Fraction(1, _TICKS)
    self._container.mux(self._stream.encode(frame))

  def close(self) -> None:
    """Completes the file.

    Raises:
      UserError: it could not be written to its end.
    """
    if self._container is None:
      return
    try:
      self._container.mux(self._stream.encode(None))
      self._container.close()
      self._container = None
      self._new.replace(self._path)
    except _FAILURES as error:
      raise self._refused(error) from error

  def discard(self) -> None:
    """Gives the file up."""
    if self._container is not None:
      container, self._container = self._container, None
      try:
        container.close()
      except _FAILURES:
        pass  # It is not wanted.
    self._new.unlink(missing_ok=True)

  def _refused(self, error: Exception) -> UserError:
    self.discard()
    reason = getattr(error, 'strerror', None) or str(error)
    if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EFBIG):
      reason += '; is the disk full?'
    return UserError(f'{self._path} cannot be written: {reason}')
