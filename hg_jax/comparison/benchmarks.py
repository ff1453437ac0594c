"""Compares what `benchmark --json` printed, as ratios to the first file."""

import itertools
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hg_jax.base import typed_json
from hg_jax.base.errors import UserError
from hg_jax.metrics import tables


def is_benchmark(path: str) -> bool:
  """Whether a .json is a benchmark, and not a saved run.

  Raises:
    UserError: it cannot be read, or is neither.
  """
  if not path.endswith('.json'):
    return False
  fields = _read(path)
  is_one = {'what', 'machine'} <= fields.keys()
  if not is_one and 'validation' not in fields:
    raise UserError(
      f'{path} is neither what `benchmark --json` prints nor what `compare '
      '--save` writes; name a run by its folder, which has the results.json.'
    )
  return is_one


def _read(path: str) -> dict[str, Any]:
  return typed_json.decode(typed_json.read(Path(path)), dict[str, Any], path)


def table(paths: Sequence[str]) -> str:
  """Lists the numbers that differ, with their ratios to the first file's.

  Raises:
    UserError: two files measure different things.
  """
  results = [_read(path) for path in paths]
  for path, result in zip(paths, results, strict=True):
    if result['what'] != results[0]['what']:
      raise UserError(
        f'{paths[0]} measures {results[0]["what"]}, {path} {result["what"]}.'
      )
  # A to Z, AA to ZZ.
  alphabet = string.ascii_uppercase
  pairs = map(''.join, itertools.product(alphabet, repeat=2))
  letters = [*alphabet, *pairs][: len(paths)]
  columns = [_numbers(result) for result in results]
  rows = {}
  for name, first in columns[0].items():
    values = [column.get(name) for column in columns]
    if any(value not in (None, first) for value in values):
      rows[name] = dict(zip(letters, values, strict=True)) | {
        f'{letter} / A': value / first if value is not None and first else None
        for letter, value in zip(letters[1:], values[1:], strict=True)
      }
  machines = [result['machine'] for result in results]
  lines = [
    f'{letter}: {path} on {machine}'
    for letter, path, machine in zip(letters, paths, machines, strict=True)
  ]
  alike = all(machine == machines[0] for machine in machines)
  lines += [
    'The machines are alike.'
    if alike
    else 'The machines differ, so the times may differ for that reason alone.',
    '',
  ]
  return '\n'.join(
    lines + (tables.grid(rows, '.4g') if rows else ['All numbers are equal.'])
  )


def _numbers(values: Mapping, prefix: str = '') -> dict[str, float]:
  """Returns the numbers by dotted name, without the machine's."""
  numbers = {}
  for key, value in values.items():
    if isinstance(value, dict) and key != 'machine':
      numbers |= _numbers(value, f'{prefix}{key}.')
    elif isinstance(value, int | float) and not isinstance(value, bool):
      numbers[prefix + key] = value
  return numbers
