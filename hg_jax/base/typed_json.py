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


def read(path: Path) -> bytes:
  """Reads a JSON file, which may be compressed by gzip.

  Raises:
    UserError: the system does not give the file, or it is damaged.
  """
  try:
    with files.open_to_read(path) as file:
      data = file.read()
  except OSError as error:
    raise cannot_be_read(path, error) from error
  try:
    return gzip.decompress(data) if data.startswith(b'\x1f\x8b') else data
  except (EOFError, OSError, zlib.error) as error:
    raise UserError(
      f'{path} is not JSON: its compression is damaged: {error}.'
    ) from error


def decode(
  data: bytes,
  kind: type[T],
  path: Path | str,
  *,
  hook: Callable[[type, Any], Any] | None = None,
) -> T:
  """Decodes JSON into a type; numbers may be written as text.

  Args:
    data: the JSON, in any of Unicode's encodings.
    kind: the type, of msgspec's.
    path: the file, for messages.
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
      # Python's parser takes NaN and UTF-16 too, and names line and column.
      values = json.loads(data)
    return msgspec.convert(values, kind, strict=False, dec_hook=hook)
  except msgspec.ValidationError as error:
    place, expected = problem(error)
    where = f'{path}: {place}' if place else str(path)
    raise UserError(f'{where}: expected {expected}.') from error
  except RecursionError as error:
    raise UserError(f'{path} is not JSON: it is nested too deeply.') from error
  except ValueError as error:
    raise UserError(f'{path} is not JSON: {error}.') from error


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
  """Returns 'a whole number or text' for '`int | str`'."""
  return ' or '.join(_NAMES.get(t, t) for t in types[1].split(' | '))
