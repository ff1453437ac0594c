"""Reads MPII's people from JSON as CPM and pytorch-pose have it.

A list of people: img_paths, objpos, scale_provided, joint_self 16 x [x, y,
visible], annolist_index and people_index from 1, and perhaps isValidation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Rows = Sequence[dict[str, Any]]


def columns(rows: Rows) -> dict[str, np.ndarray]:
  """Returns the columns of `mpii._from_raw`.

  Raises:
    ValueError: names the person and the field that is wrong.
  """
  return {
    'image': texts(rows, 'img_paths'),
    'center': numbers(rows, 'objpos', 2),
    'scale': numbers(rows, 'scale_provided'),
    'joints': numbers(rows, 'joint_self', 16, 3),
    'image_index': _integers(rows, 'annolist_index') - 1,
    'person_index': _integers(rows, 'people_index') - 1,
  }


def is_validation(rows: Rows) -> np.ndarray:  # bool[P]
  """Tells who is marked as a validation person.

  Raises:
    ValueError: names the person whose mark is neither 0 nor 1.
  """
  marks = numbers([{'isValidation': 0} | row for row in rows], 'isValidation')
  for row, mark in enumerate(marks):
    if mark not in (0, 1):
      raise ValueError(f'isValidation of person {row} is {mark:g}, not 0 or 1')
  return marks == 1


def texts(rows: Rows, name: str) -> np.ndarray:  # str[P]
  """Returns a field that is text.

  Raises:
    ValueError: names the person who has no such field.
  """
  for row, person in enumerate(rows):
    if not isinstance(_field(person, row, name), str):
      raise ValueError(_wrong(person, row, name, 'text is needed'))
  return np.array([person[name] for person in rows], str)


def numbers(rows: Rows, name: str, *shape: int) -> np.ndarray:  # f64[P, *shape]
  """Returns a field of numbers of one shape.

  Raises:
    ValueError: names the person who has no such field.
  """
  values = []
  wanted = (
    ' x '.join(map(str, shape)) + ' numbers are' if shape else 'a number is'
  )
  for row, person in enumerate(rows):
    given = _field(person, row, name)
    try:
      value = np.array(given, np.float64)
    except (OverflowError, TypeError, ValueError):
      value = None
    if value is None or value.shape != shape or not np.isfinite(value).all():
      raise ValueError(_wrong(person, row, name, f'{wanted} needed'))
    values.append(value)
  return np.array(values)


def _integers(rows: Rows, name: str) -> np.ndarray:  # i64[P]
  values = numbers(rows, name)
  for row, value in enumerate(values):
    if not (value.is_integer() and abs(value) < 2**31):
      raise ValueError(f'{name} of person {row} is {value:g}, not an index')
  return values.astype(np.int64)


def _field(person: dict[str, Any], row: int, name: str) -> Any:
  if name not in person:
    raise ValueError(f'person {row} has no {name}')
  return person[name]


def _wrong(person: dict[str, Any], row: int, name: str, wanted: str) -> str:
  value = repr(person[name])
  value = value if len(value) < 60 else f'{value[:60]}...'
  return f'{name} of person {row} is {value}, where {wanted}'
