"""Reads videos a frame at a time, with FFmpeg through PyAV."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.device
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from hg_jax.base.errors import UserError

SUFFIXES = (
  '.3g2 .3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts '
  '.vob .webm .wmv'
).split()
TIMEOUT = 30.0  # s that a URL may take to open or to send more

_MP4_BOXES = (b'ftyp', b'mdat', b'moov', b'wide', b'free', b'skip')  # the first
# PyAV 18 refuses titles that are not UTF-8 without this; 19 does not have it.
_OLD = int(av.__version__.split('.')[0]) < 19
_TITLES = {'metadata_errors': 'replace'} if _OLD else {}


def is_video(source: Path | str) -> bool:
  """Whether a source is a camera, a URL, or a file with a video's suffix."""
  return isinstance(source, str) or source.suffix.lower() in SUFFIXES


class Video:
  """An open video; iterating reads its frames and their times.

  Attributes:
    rate: frames per second, on average; 25 where the file does not say.
    frames: how many the file promises; None if it does not say.
  """

  def __init__(self, source: Path | str):
    """Opens a file, a camera by its number, or a URL.

    Raises:
      UserError: the file is missing, or FFmpeg cannot decode it.
    """
    self._source = source
    file = isinstance(source, Path)
    self._container = _open_file(source) if file else _open_stream(source)
    stream = self._stream = self._find_video()
    rates = stream.average_rate, stream.base_rate
    self.rate = next((float(rate) for rate in rates if _is_rate(rate)), 25.0)
    # MP4 and MOV list their frames. AVI counts them, with those that it leaves
    # out because they repeat the one before. FLV says how long it takes.
    form = self._container.format.name
    listed = len(stream.index_entries) if 'mp4' in form else 0
    counted = stream.frames if form == 'avi' else 0
    self._promised = listed or counted
    self._fewest = listed or 0.98 * counted - 2
    seconds = (self._container.duration or 0) / av.time_base
    self._least_end = 0.98 * seconds - 1 if form == 'flv' else 0.0
    guess = stream.frames or max(round(seconds * self.rate), 0)
    self.frames = self._promised or guess or None
    # These are learned while reading.
    self._matrix = None  # i32[2, 2], moves a pixel's (x, y) as a row vector
    self._packets = 0  # of the video
    self._end = 0.0  # s, of all streams, as sound may be longer
    self._last_is_cut = {}  # whether a stream's last packet is, by its index
    self._damaged = 0  # frames or packets
    self._problem = None  # the error that ended the reading

  def _find_video(self) -> av.VideoStream:
    for stream in self._container.streams.video:
      if not stream.disposition & Disposition.attached_pic:
        stream.thread_type = 'AUTO'
        return stream
    self._container.close()
    raise UserError(
      f'{self._source} has no video that FFmpeg can decode; it may have sound, '
      'and a cover.'
    )

  def __enter__(self) -> 'Video':
    return self

  def __exit__(self, *_) -> None:
    self._container.close()
    self._stream = None  # The decoder's threads end with it.

  def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
    """Yields times, s, and pictures, u8[height, width, 3] RGB, upright.

    Times increase from the file's start. Interlaced frames are deinterlaced.
    A picture has the size of its frame, which may change.

    Raises:
      UserError: after the frames, if the video is cut short or damaged.
    """
    clock = _Clock(self._container.start_time, self.rate)
    converter = VideoReformatter()
    count = 0
    for frame in _deinterlaced(self._decoded()):
      picture = converter.reformat(frame, format='rgb24').to_ndarray()
      yield clock.time(frame.time), _upright(picture, self._matrix)
      count += 1
    self._require_whole(count)

  def _decoded(self) -> Iterator[av.VideoFrame]:
    """Yields frames as they are stored; notes their turn and their damage."""
    whole = 0
    for number, frame in enumerate(self._frames_of_packets()):
      if number == 0:
        # Only here: PyAV 18 keeps a frame whose side data are read in memory.
        matrix = frame.side_data.get('DISPLAYMATRIX')
        if matrix is not None:
          self._matrix = np.frombuffer(matrix, 'i4').reshape(3, 3)[:2, :2]
      # Recordings may begin between whole frames.
      self._damaged += frame.is_corrupt and whole > 0
      whole += not frame.is_corrupt
      # The last frames come without.
      frame.time_base = self._stream.time_base
      if frame.pts is None:
        frame.pts = frame.dts
      yield frame

  def _frames_of_packets(self) -> Iterator[av.VideoFrame]:
    for packet in self._read_packets():
      self._last_is_cut[packet.stream_index] = packet.is_corrupt
      if packet.pts is not None:
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        self._end = max(self._end, float(end))
      if packet.stream_index == self._stream.index:
        self._packets += 1
        try:
          yield from self._stream.decode(packet)
        except av.FFmpegError:
          self._damaged += 1
    with contextlib.suppress(av.FFmpegError):  # at the end, an EOFError
      yield from self._stream.decode(None)

  def _read_packets(self) -> Iterator[av.Packet]:
    """Yields packets of all streams, as those of sound show a cut, too."""
    try:
      yield from (p for p in self._container.demux() if p.size)
    except IndexError:
      pass  # PyAV 18, at the end, if a stream began after the first packets.
    except av.FFmpegError as error:
      self._problem = error

  def _require_whole(self, count: int) -> None:
    source, is_file = self._source, isinstance(self._source, Path)
    if self._problem and not is_file:
      raise UserError(
        f'{source} broke off after {count} frames: {_reason(self._problem)}.'
      )
    if count == 0:
      raise UserError(
        f'{source} has no frame that can be decoded: it is cut short, damaged, '
        'or of a codec that FFmpeg lacks.'
      )
    if self._packets < self._fewest or (is_file and self._lacks_its_end()):
      of = f' of {self._promised}' if self._promised > count else ''
      raise UserError(
        f'{source} is cut short: {count} frames{of} could be read; fetch it '
        'again.'
      )
    if is_file and (self._damaged or self._problem):
      raise UserError(
        f'{source} is damaged: of {count} frames {max(self._damaged, 1)} are '
        'not whole; fetch it again.'
      )

  def _lacks_its_end(self) -> bool:
    return (
      self._end < self._least_end
      or any(self._last_is_cut.values())
      or _is_cut_matroska(self._source)
    )


def _open_file(path: Path) -> av.container.InputContainer:
  if os.path.exists(path) and not path.is_file():
    raise UserError(f'{path} is not a file; videos from pipes are not read.')
  try:
    return av.open(f'file:{path}', **_TITLES)
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from error
  except av.FFmpegError as error:
    with path.open('rb') as file:
      is_mp4 = file.read(8)[4:] in _MP4_BOXES
    raise UserError(
      f'{path} is cut short, and no frame can be read; fetch it again.'
      if is_mp4
      else f'{path} is not a video that FFmpeg can decode.'
    ) from error


def _open_stream(source: str) -> av.container.InputContainer:
  """Opens a URL or a camera, by FFmpeg's name of it on each system."""
  form, name, options = None, source, {}
  if not source.isdecimal():
    options = {'rtsp_flags': 'prefer_tcp'}  # as UDP loses packets
  elif sys.platform == 'linux':
    form, name = 'v4l2', f'/dev/video{source}'
  elif sys.platform == 'darwin':
    form = 'avfoundation'
    options = {'framerate': '30'}  # FFmpeg's 29.97 is refused by many
  else:
    # DirectShow knows cameras by names.
    cameras = av.device.enumerate_input_devices('dshow')
    names = [c.name for c in cameras if 'video' in c.media_types]
    form = 'dshow'
    name = f'video={dict(enumerate(names)).get(int(source), source)}'
  try:
    return av.open(
      name, format=form, options=options, timeout=TIMEOUT, **_TITLES
    )
  except av.FFmpegError as error:
    reason = _reason(error)
    raise UserError(
      f'there is no camera {source}, or another program uses it ({reason}).'
      if form
      else f'{source} cannot be reached, or is not a video ({reason}).'
    ) from error


def _reason(error: av.FFmpegError) -> str:
  if isinstance(error, av.error.ExitError):
    return f'nothing came for {TIMEOUT:.0f} s'
  return error.strerror


def _is_rate(rate: Fraction | None) -> bool:
  return bool(rate and rate.denominator) and 0 < float(rate) < 10_000


def _is_cut_matroska(path: Path) -> bool:
  """Whether a file is MKV or WebM and ends before its segment does.

  RFC 8794 has the layout: an element has a name, a size and a content. The
  first bit set in a size marks how many bytes it has; a size of only ones is
  unknown, as in live broadcasts.
  """
  with path.open('rb') as file:
    head = file.read(4096)
    end = file.seek(0, os.SEEK_END)
  at = head.find(b'\x18\x53\x80\x67') + 4  # the segment: all but the header
  if not head.startswith(b'\x1a\x45\xdf\xa3') or not 4 < at < len(head) - 8:
    return False
  length = 9 - head[at].bit_length()
  unknown = (1 << 7 * length) - 1
  size = int.from_bytes(head[at : at + length], 'big') & unknown
  return size != unknown and at + length + size > end


class _Clock:
  """Makes times increase from the file's start.

  Where a frame has no time, or the file's clock begins again, as where
  broadcasts were joined, a frame is shown as long as others are.
  """

  def __init__(self, start: int | None, rate: float):  # us, frames per second
    self._shift = None if start is None else -start / av.time_base
    self._step = 1 / rate
    self._last = None

  def time(self, said: float | None) -> float:
    """Returns the next frame's time, s, given the file's."""
    if said is not None and self._shift is None:
      self._shift = -said
    time = math.nan if said is None else said + self._shift
    if self._last is None:
      time = max(0.0, time)  # also of nan
    elif not time > self._last:
      time = self._last + self._step
      if said is not None:
        self._shift = time - said
    self._last = time
    return time


def _deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
  """Passes frames through FFmpeg's bwdif filter from the first interlaced."""
  graph, form = None, None
  for frame in frames:
    if graph and form != _form(frame):
      yield from _push(graph, None)
      graph = None
    if graph is None and frame.interlaced_frame:
      graph, form = av.filter.Graph(), _form(frame)
      graph.link_nodes(
        graph.add_buffer(
          width=frame.width,
          height=frame.height,
          format=frame.format,
          time_base=frame.time_base,
        ),
        graph.add('bwdif', 'mode=send_frame:deint=interlaced'),
        graph.add('buffersink'),
      ).configure()
    if graph is None:
      yield frame
    else:
      yield from _push(graph, frame)
  if graph:
    yield from _push(graph, None)


def _form(frame: av.VideoFrame) -> tuple[int, int, str]:
  return frame.width, frame.height, frame.format.name


def _push(
  graph: av.filter.Graph, frame: av.VideoFrame | None
) -> Iterator[av.VideoFrame]:
  graph.push(frame)
  with contextlib.suppress(BlockingIOError, EOFError):
    while True:
      yield graph.pull()


def _upright(
  picture: np.ndarray,
  matrix: np.ndarray | None,  # i32[2, 2]
) -> np.ndarray:
  """Turns and mirrors a picture, by quarters of a turn."""
  if matrix is None:
    return picture
  (a, b), (c, d) = matrix.astype(float)
  if abs(b) + abs(c) > abs(a) + abs(d):
    picture, a, d = picture.transpose(1, 0, 2), c, b
  if a < 0:
    picture = picture[:, ::-1]
  if d < 0:
    picture = picture[::-1]
  return np.ascontiguousarray(picture)
