"""What an MKV or WebM file says of its picture, and whether it is whole.

RFC 8794 has the layout: elements of a name, a size and a content, which may be
elements again. RFC 9559 has Matroska's.
"""

import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

_HEADER = b'\x1a\x45\xdf\xa3'
_SEGMENT = 0x18538067  # all but the header
_TRACK = (_SEGMENT, 0x1654AE6B, 0xAE)  # from the file down to a track
_KIND, _VIDEO = 0x83, b'\1'  # of a track
_PROJECTION = (0xE0, 0x7670)  # from a track down to how its picture is shown
_CLUSTER = 0x1F43B675  # of frames, which come after the description
_YAW, _PITCH, _ROLL = 0x7673, 0x7674, 0x7675  # degrees
_LARGEST = 2**16  # bytes
_UNKNOWN = 2**60  # the size of what is broadcast live


def matrix(path: Path) -> np.ndarray | None:  # f[2, 2]
  """Reads how the picture is turned and mirrored.

  Returns:
    The matrix that moves a pixel's (x, y) as a row vector; None if the file
    does not say, or is of another kind.
  """
  with path.open('rb') as file:
    if file.read(4) != _HEADER:
      return None
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    tracks = list(_find(file, end, _TRACK))
  videos = [t for t in tracks if _VIDEO in _find_in(t, (_KIND,))]
  angles = {}
  for projection in _find_in(videos[0], _PROJECTION) if videos else ():
    file = io.BytesIO(projection)
    for name, stop in _elements(file, len(projection)):
      angles[name] = _number(file.read(stop - file.tell()))
  yaw, pitch, roll = (angles.get(name, 0.0) for name in (_YAW, _PITCH, _ROLL))
  if pitch or abs(yaw) not in (0, 180) or not np.isfinite(roll):
    return None  # Of a picture of all directions.
  cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
  turn = np.array([[cos, -sin], [sin, cos]])
  return np.diag([-1, 1]) @ turn if yaw else turn


def is_cut(path: Path) -> bool | None:
  """Whether a file ends before it says; None if it is of another kind."""
  with path.open('rb') as file:
    if file.read(4) != _HEADER:
      return None
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    for name, stop in _elements(file, _UNKNOWN):
      if name == _SEGMENT:
        return end < stop < _UNKNOWN
  return False


def _find_in(content: bytes, path: tuple[int, ...]) -> list[bytes]:
  return list(_find(io.BytesIO(content), len(content), path))


def _find(file: BinaryIO, end: int, path: tuple[int, ...]) -> Iterator[bytes]:
  """The contents of the elements at a path, before the first frames."""
  for name, stop in _elements(file, end):
    if name == _CLUSTER:
      return
    if name == path[0]:
      if path[1:]:
        yield from _find(file, stop, path[1:])
      else:
        yield file.read(min(stop - file.tell(), _LARGEST))


def _elements(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
  """The names of elements in a row, and where each ends.

  The file is at the content of an element when that is yielded.
  """
  while file.tell() < end:
    name, size = _integer(file, marked=True), _integer(file, marked=False)
    if name is None or size is None:
      return
    stop = min(file.tell() + size, end)
    yield name, stop
    file.seek(stop)


def _integer(file: BinaryIO, *, marked: bool) -> int | None:
  """An integer of 1 to 8 bytes; its first bit set marks how many there are."""
  first = file.read(1)
  if first in (b'', b'\0'):
    return None
  length = 9 - first[0].bit_length()
  value = int.from_bytes(first + file.read(length - 1), 'big')
  if marked:
    return value
  most = (1 << 7 * length) - 1
  return _UNKNOWN if value & most == most else value & most


def _number(content: bytes) -> float:
  form = {4: '>f', 8: '>d'}.get(len(content))
  return struct.unpack(form, content)[0] if form else 0.0
