"""Decodes JSON into types, and names the place where a file differs."""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hg_jax.base import files
from hg_jax.base.errors import UserError, cannot_be_read

T = TypeVar('T')

# What messages call the types of JSON and Python.
_NAMES = {
  'int': 'a whole number',
  'float': 'a number',
  'str': 'text',
  'bool': 'true or false',
  'array': 'a list',
  'object': 'an object',
}


def read(path: Path, *, wait: bool = False) -> bytes:
  """Reads a JSON file as UTF-8.

  The file may be compressed by gzip, and in any of Unicode's encodings.

  Args:
    path: the file.
    wait: for who writes, if it is a pipe; else it is empty.

  Raises:
    UserError: the system does not give the file, or it is damaged.
  """
  try:
    with path.open('rb') if wait else files.open_to_read(path) as file:
      data = file.read()
  except OSError as error:
    raise cannot_be_read(path, error) from error
  try:
    if data.startswith(b'\x1f\x8b'):
      data = gzip.decompress(data)
    encoding = json.detect_encoding(data)
    return data if encoding == 'utf-8' else data.decode(encoding).encode()
  except (EOFError, OSError, ValueError, zlib.error) as error:
    raise UserError(
      f'{path} is not JSON: its compression or encoding is damaged: {error}.'
    ) from error


def decode(
  data: bytes,
  kind: type[T],
  path: Path | None = None,
  *,
  hook: Callable[[type, Any], Any] | None = None,
) -> T:
  """Decodes JSON into a type; numbers may be written as text.

  Args:
    data: the JSON, of `read`.
    kind: the type, of msgspec's.
    path: the file, which messages begin with.
    hook: makes a value of a type that msgspec does not know.

  Raises:
    UserError: 'FILE: annotations[3].bbox[2]: expected a number, not text.'
  """
  try:
    try:
      return msgspec.json.decode(data, type=kind, strict=False, dec_hook=hook)
    except msgspec.ValidationError:
      raise
    except (msgspec.DecodeError, ValueError):
      # Python's parser also takes NaN, and names line and column.
      values = json.loads(data)
    return msgspec.convert(values, kind, strict=False, dec_hook=hook)
  except msgspec.ValidationError as error:
    place, expected = problem(error)
    where = ': '.join(str(part) for part in (path, place) if part)
    raise UserError(f'{where or "it"}: expected {expected}.') from error
  except (RecursionError, ValueError) as error:
    raise UserError(f'{path or "it"} is not JSON: {error}.') from error


def problem(error: msgspec.ValidationError) -> tuple[str, str]:
  """Returns ('annotations[3].bbox[2]', 'a number, not text') for an error."""
  message, _, place = str(error).partition(' - at `')
  message = re.sub('`([^`]*)`', _words, message)
  for pattern, words in (
    ('^Object missing required field', 'an object with'),
    ('^Expected ', ''),
    (', got ', ', not '),
    (" that's a multiple", ', a multiple'),
    (' >= ', ' of at least '),
    (' <= ', ' of at most '),
    (' > ', ' above '),
    (' < ', ' below '),
    ('^Number out of range', 'a number that is not as large'),
  ):
    message = re.sub(pattern, words, message)
  return re.sub(r'^\$\.?|`$', '', place), message


def _words(types: re.Match) -> str:
  """Returns 'a number or text' for '`int | float | str`'."""
  names = types[1].split(' | ')
  if 'float' in names and 'int' in names:
    names.remove('int')
  return ' or '.join(_NAMES.get(name, name) for name in names)
