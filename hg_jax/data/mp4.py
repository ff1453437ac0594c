"""What an MP4 or MOV file says of its picture, which OpenCV does not tell.

ISO/IEC 14496-12 has the layout: boxes of a size, a type and a content, which
may be boxes again. QuickTime's are the same.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

# A header is some kilobytes and, with an hour's index, some megabytes.
_LARGEST_HEADER = 64 * 2**20


def presentation(
  path: Path,
) -> tuple[float | None, np.ndarray | None]:  # s, f[2, 2]
  """Reads how long the video is shown, and how its picture is turned.

  Returns:
    The seconds after the file's edits, and the matrix that moves a pixel's
    (x, y) as a row vector; None for what the file does not say.
  """
  with path.open('rb') as file:
    header = _header(file)
  if header is None:
    return None, None
  timescale = _timescale(header)
  for kind, track in _boxes(header):
    if kind == b'trak' and b'vide' == _handler(track):
      return _track_header(track, timescale)
  return None, None


def _header(file: BinaryIO) -> bytes | None:
  """The content of the box 'moov'; None in other containers."""
  end = file.seek(0, os.SEEK_END)
  file.seek(0)
  first = True
  while len(start := file.read(8)) == 8:
    size, kind = struct.unpack('>I4s', start)
    if first and kind not in (b'ftyp', b'moov', b'wide', b'free', b'skip'):
      return None
    first, used = False, 8
    if size == 1:
      size, used = struct.unpack('>Q', file.read(8).rjust(8, b'\0'))[0], 16
    if kind == b'moov':
      return file.read(min(max(size - used, 0), _LARGEST_HEADER))
    if size < used or size - used > end - file.tell():
      return None
    file.seek(size - used, os.SEEK_CUR)
  return None


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


def _track_header(
  track: bytes, timescale: int
) -> tuple[float | None, np.ndarray | None]:
  box = _find(track, b'tkhd')
  long = box[:1] == b'\1'  # times of 64 bits
  at = 28 if long else 20
  units = int.from_bytes(box[at : at + (8 if long else 4)], 'big')
  seconds = units / timescale if timescale and units else None
  matrix = box[at + (24 if long else 20) :][:20]
  if len(matrix) < 20:
    return seconds, None
  a, b, _, c, d = np.frombuffer(matrix, '>i4')
  return seconds, np.array([[a, b], [c, d]], float)
