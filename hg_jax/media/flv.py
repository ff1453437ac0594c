"""Whether an FLV file is whole.

Adobe's Flash Video File Format Specification 10.1 has the layout: a header, and
tags of sound, pictures and data, each followed by its size.
"""

import os
from pathlib import Path

_TAG_HEADER = 11  # bytes


def is_cut(path: Path) -> bool | None:
  """Whether a file ends amid a tag; None if it is of another kind."""
  with path.open('rb') as file:
    if file.read(3) != b'FLV':
      return None
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - 4, 0))
    last = end - 4 - int.from_bytes(file.read(4), 'big')
    if last < 0:
      return True
    file.seek(last)
    tag = file.read(_TAG_HEADER)
  length = int.from_bytes(tag[1:4], 'big')
  return last + _TAG_HEADER + length != end - 4
