"""Finished runs and published results, as `compare` sets them side by side.

A run is a workdir with `config.json`, `metrics.jsonl` and `results.json`.
"""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from importlib import resources

from hg_jax.base.errors import UserError
from hg_jax.metrics import pckh

_RESULTS = (
  'step',
  'split',
  'people',
  'totals',
  'totals_at_0.1',
  'groups',
  'auc',
  'standard_error',
  'stacks',
)
_CONFIG = ('data.image_size', 'data.sigma')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """What a workdir says about its run.

  Attributes:
    name: the workdir's own name, or its path where names are not unique.
    config: each setting by its dotted name.
    results: as evaluation wrote `results.json`.
    validation: the rows of `metrics.jsonl` of a validation, by rising step.
  """

  name: str
  config: dict
  results: dict
  validation: list[dict]


def load(paths: Sequence[str]) -> list[Run]:
  """Reads runs that can be compared.

  Raises:
    UserError: a file is missing or damaged, or the runs were not scored on
      the same people and joints.
  """
  folders = [pathlib.Path(path) for path in paths]
  if not folders:
    raise UserError('name the folder of at least one run.')
  if len({folder.resolve() for folder in folders}) < len(folders):
    raise UserError('a run is named twice; name each once.')
  names = [folder.resolve().name for folder in folders]
  if len(set(names)) < len(names):
    names = [str(folder) for folder in folders]
  runs = [
    _load(folder, name) for folder, name in zip(folders, names, strict=True)
  ]
  for run in runs[1:]:
    _check_comparable(runs[0], run)
  return runs


def load_published() -> list[dict]:
  """The rows of `published.csv`: text as it is, numbers in percent or None.

  Raises:
    ValueError: the file holds something else than numbers in a number's
      column.
  """
  text = (
    resources.files('hg_jax.pictures')
    .joinpath('published.csv')
    .read_text('utf-8')
  )
  words = ('name', 'convention', 'split', 'source', 'note')
  return [
    {
      key: value if key in words else float(value) if value else None
      for key, value in row.items()
    }
    for row in csv.DictReader(text.splitlines())
  ]


def differences(runs: Sequence[Run]) -> dict[str, list]:
  """The settings that differ, each with a value per run, None if absent."""
  keys = dict.fromkeys(key for run in runs for key in run.config)
  values = {key: [run.config.get(key) for run in runs] for key in keys}
  return {key: row for key, row in values.items() if row != [row[0]] * len(row)}


def _check_comparable(one: Run, other: Run) -> None:
  for key in ('split', 'people'):
    a, b = one.results[key], other.results[key]
    if a != b:
      raise UserError(
        f'{one.name} and {other.name} were scored on different people '
        f'({key} {a} and {b}); evaluate both on the same.'
      )
  a, b = list(one.results['groups']), list(other.results['groups'])
  if a != b:
    raise UserError(
      f'{one.name} and {other.name} have different groups of joints: '
      f'{", ".join(a)} and {", ".join(b)}.'
    )


def _load(folder: pathlib.Path, name: str) -> Run:
  if not folder.is_dir():
    raise UserError(f"{folder} is no folder; name a run's workdir.")
  path = folder / 'results.json'
  if not path.exists():
    raise UserError(
      f'{folder} has no results.json; evaluate the run first, with --mode='
      f'evaluate --workdir={folder}.'
    )
  results = _decode(_read(path), path)
  _require(results, _RESULTS, path)
  for key in ('totals', 'totals_at_0.1', 'standard_error'):
    _require(results[key], pckh.TOTALS, f'{path}, {key},')
  path = folder / 'config.json'
  config = dict(_flatten(_decode(_read(path), path)))
  _require(config, _CONFIG, path)
  return Run(
    name=name,
    config=config,
    results=results,
    validation=_load_validation(folder / 'metrics.jsonl'),
  )


def _load_validation(path: pathlib.Path) -> list[dict]:
  # What follows the last newline is empty, or was cut off by a crash.
  lines = _read(path).split('\n')[:-1]
  rows = {}
  for number, line in enumerate(lines, 1):
    where = f'{path}, line {number},'
    row = _decode(line, where)
    _require(row, ('step', 'kind'), where)
    if row['kind'] == 'valid':
      _require(row, ('loss', 'skill', *pckh.TOTALS), where)
      rows[row['step']] = row  # a resumed run may repeat a step
  if not rows:
    raise UserError(f'{path} has no validation; train to the first one.')
  return [rows[step] for step in sorted(rows)]


def _read(path: pathlib.Path) -> str:
  try:
    return path.read_text('utf-8')
  except OSError as error:
    raise UserError(f'cannot read {path}: {error.strerror}.') from error
  except UnicodeDecodeError as error:
    raise UserError(f'{path} is damaged: it is no text.') from error


def _decode(text: str, where) -> dict:
  try:
    value = json.loads(text)
  except json.JSONDecodeError as error:
    raise UserError(f'{where} is damaged: {error}.') from error
  if not isinstance(value, dict):
    raise UserError(f'{where} is damaged: it is no JSON object.')
  return value


def _require(values, keys, where) -> None:
  if not isinstance(values, dict):
    raise UserError(f'{where} is damaged: it is no JSON object.')
  if missing := [key for key in keys if key not in values]:
    raise UserError(
      f'{where} lacks {", ".join(missing)}: damaged, or of another version '
      'of hg_jax.'
    )


def _flatten(values: dict, prefix: str = '') -> Iterator[tuple]:
  """The settings by dotted name."""
  for key, value in values.items():
    if isinstance(value, dict):
      yield from _flatten(value, f'{prefix}{key}.')
    else:
      yield prefix + key, value
