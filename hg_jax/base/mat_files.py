"""MATLAB's .mat files, read by scipy after a look at their structure.

scipy trusts the types in a file, and a damaged one crashes it. MATLAB's
"MAT-File Format" has the layout of level 5: elements of a type, a size and a
content; the content of a matrix is elements again.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

_HEADER = 128  # bytes
_HDF5 = 0x200  # a version
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
_KINDS = _NUMBERS | {_MATRIX, _COMPRESSED, 16, 17, 18}  # three of texts
# Of a matrix's flags.
_COMPLEX = 0x800
_SPARSE, _NUMERIC, _OPAQUE = 5, range(6, 16), 17


def names(path: Path) -> list[str]:
  """Lists the variables of a file.

  Raises:
    UNREADABLE: the file is damaged or none.
  """
  _require_sound(path)
  return [name for name, *_ in scipy.io.whosmat(path)]


def read(path: Path, variables: list[str], **options: Any) -> dict[str, Any]:
  """Reads those of the variables that a file has.

  Args:
    path: the file.
    variables: their names.
    options: of `scipy.io.loadmat`.

  Raises:
    UNREADABLE: the file is damaged or none.
  """
  _require_sound(path)
  return scipy.io.loadmat(path, variable_names=variables, **options)


def _require_sound(path: Path) -> None:
  content = path.read_bytes()
  order = {b'IM': '<', b'MI': '>'}.get(content[126:_HEADER])
  if order is None:
    raise ValueError('it is no MAT-file of level 5')
  if struct.unpack_from(f'{order}H', content, 124)[0] == _HDF5:
    raise ValueError("it is of MATLAB's -v7.3; save it with -v7")
  for kind, matrix in _elements(memoryview(content)[_HEADER:], order):
    if kind == _MATRIX:
      _require_sound_matrix(matrix, order)


def _elements(row: memoryview, order: str) -> list[tuple[int, memoryview]]:
  """Lists the types and contents of elements in a row."""
  elements, at = [], 0
  while at < len(row):
    if len(row) - at < 8:
      raise ValueError('it ends amid an element')
    kind, size = struct.unpack_from(f'{order}II', row, at)
    start = at + 8
    if kind >> 16:  # A small one: its size and content share the tag.
      kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
    if size > (4 if start == at + 4 else len(row) - start):
      raise ValueError('an element is larger than what holds it')
    if kind not in _KINDS:
      raise ValueError(f'an element is of the unknown type {kind}')
    elements.append((kind, row[start : start + size]))
    at = start + size
    if kind != _COMPRESSED:  # Others are filled up to a multiple of 8.
      at += -at % 8
  return elements


def _require_sound_matrix(content: memoryview, order: str) -> None:
  """Checks that a matrix and those in it have what their classes ask for."""
  if not content:
    return
  elements = _elements(content, order)
  for kind, inner in elements:
    if kind == _MATRIX:
      _require_sound_matrix(inner, order)
  if len(elements) < 3 or len(elements[0][1]) != 8:
    raise ValueError('a matrix lacks its flags, its size or its name')
  flags = struct.unpack_from(f'{order}I', elements[0][1])[0]
  array_class, parts = flags & 0xFF, 2 if flags & _COMPLEX else 1
  if array_class == _OPAQUE:
    return  # It has another layout.
  if array_class == _SPARSE:
    parts += 2  # of rows and columns
  elif math.prod(np.frombuffer(elements[1][1], f'{order}i4').tolist()) > len(
    content
  ):
    raise ValueError('a matrix is larger than its content')
  if array_class in (_SPARSE, *_NUMERIC) and not (
    len(elements) == 3 + parts
    and _NUMBERS.issuperset(kind for kind, _ in elements[3:])
  ):
    raise ValueError('a matrix lacks numbers')
