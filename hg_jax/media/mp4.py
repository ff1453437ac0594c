"""What an MP4 or MOV file says of its picture, which OpenCV does not tell.

ISO/IEC 14496-12 has the layout: boxes of a size, a type and a content, which
may be boxes again. QuickTime's are the same.
"""

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

# A header is some kilobytes and, with an hour's index, some megabytes.
_LARGEST_HEADER = 64 * 2**20


# Without all of these a file cannot be shown to its end.
_ESSENTIAL = (b'moov', b'moof', b'mdat')


@dataclasses.dataclass(frozen=True)
class Presentation:
  """How a file is to be shown.

  Attributes:
    has_video: it has frames, not only sound and the picture of its cover.
    seconds: how long the video is shown, after the file's edits.
    matrix: f[2, 2], moves a pixel's (x, y) as a row vector.
  """

  has_video: bool
  seconds: float | None = None  # None: the file does not say, as below
  matrix: np.ndarray | None = None


def presentation(path: Path) -> Presentation | None:
  """Reads how a file is to be shown; None if it is of another kind."""
  with path.open('rb') as file:
    header = _header(file)
  if header is None:
    return None
  timescale = _timescale(header)
  for kind, track in _boxes(header):
    if kind == b'trak' and b'vide' == _handler(track):
      return _track_header(track, timescale)
  return Presentation(has_video=False)


def is_cut(path: Path) -> bool:
  """Whether the file, of this kind, ends before its header or frames do."""
  with path.open('rb') as file:
    end = file.seek(0, os.SEEK_END)
    return any(
      kind in _ESSENTIAL and start + size > end
      for kind, start, size in _outer_boxes(file)
    )


def _header(file: BinaryIO) -> bytes | None:
  """The content of the box 'moov'; None in other containers."""
  for kind, start, size in _outer_boxes(file):
    if kind == b'moov':
      file.seek(start)
      return file.read(min(size, _LARGEST_HEADER))
  return None


def _outer_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
  """The types of a file's boxes, where their contents start, and their sizes.

  Nothing in other containers.
  """
  end = file.seek(0, os.SEEK_END)
  at = 0
  while at < end:
    file.seek(at)
    start = file.read(8)
    if len(start) < 8:
      return
    size, kind = struct.unpack('>I4s', start)
    if at == 0 and kind not in (b'ftyp', b'moov', b'wide', b'free', b'skip'):
      return
    used = 8
    if size == 1:
      size, used = struct.unpack('>Q', file.read(8).rjust(8, b'\0'))[0], 16
    if size == 0:  # to the end of the file
      size = end - at
    if size < used:
      return
    yield kind, at + used, size - used
    at += size


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
  """The types and contents of boxes in a row."""
  at = 0
  while at + 8 <= len(content):
    size, kind = struct.unpack_from('>I4s', content, at)
    if size < 8:
      return
    yield kind, content[at + 8 : at + size]
    at += size


def _find(content: bytes, kind: bytes) -> bytes:
  return next((box for name, box in _boxes(content) if name == kind), b'')


def _timescale(header: bytes) -> int:
  box = _find(header, b'mvhd')
  return int.from_bytes(box[20:24] if box[:1] == b'\1' else box[12:16], 'big')


def _handler(track: bytes) -> bytes:
  return _find(_find(track, b'mdia'), b'hdlr')[8:12]


def _track_header(track: bytes, timescale: int) -> Presentation:
  box = _find(track, b'tkhd')
  long = box[:1] == b'\1'  # times of 64 bits
  at = 28 if long else 20
  units = int.from_bytes(box[at : at + (8 if long else 4)], 'big')
  seconds = units / timescale if timescale and units else None
  matrix = box[at + (24 if long else 20) :][:20]
  if len(matrix) < 20:
    return Presentation(True, seconds)
  a, b, _, c, d = np.frombuffer(matrix, '>i4')
  return Presentation(True, seconds, np.array([[a, b], [c, d]], float))
