"""Reads finished runs and published results, and saves runs as small files.

A run is a folder with `config.json`, `metrics.jsonl` and `results.json`, or
the small file that `save` makes of it.
"""

import csv
import dataclasses
import json
import zlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hg_jax.base import config as config_lib
from hg_jax.base import files, typed_json
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import results as results_lib
from hg_jax.evaluation.results import Results
from hg_jax.run import run_config, writer

_ROWS = 100  # of a saved run's validation

# A validation of metrics.jsonl: its `step`, its `kind` and its scores by name.
Row = dict[str, int | float | Literal['valid'] | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A finished run.

  Attributes:
    name: the name of its folder or file; the path where names are not unique.
    config: each setting by its dotted name.
    skeleton: its joints, and the metric.
    results: the contents of `results.json`.
    validation: the rows of the validations, by rising step.
  """

  name: str
  config: dict[str, Any]
  skeleton: Skeleton
  results: Results
  validation: list[Row]


class _Saved(Struct):
  """The contents of a file that `save` writes."""

  config: dict[str, Any]
  skeleton: dict[str, Any]
  results: Results
  validation: Annotated[list[Row], Meta(min_length=1)]


def load(paths: Sequence[str]) -> list[Run]:
  """Reads runs that can be compared.

  Raises:
    UserError: a file is missing or damaged, or the runs were not scored on
      the same people and joints.
  """
  folders = [Path(path) for path in paths]
  if not folders:
    raise UserError('name the folder of at least one run.')
  if len({folder.resolve() for folder in folders}) < len(folders):
    raise UserError('a run is named twice; name each once.')
  names = [folder.resolve().name.removesuffix('.json') for folder in folders]
  if len(set(names)) < len(names):
    names = [str(folder) for folder in folders]
  runs = [
    _load_saved(path, name) if path.suffix == '.json' else _load(path, name)
    for path, name in zip(folders, names, strict=True)
  ]
  for run in runs[1:]:
    _require_comparable(runs[0], run)
  return runs


def _require_comparable(first: Run, run: Run) -> None:
  if first.skeleton.metric != run.skeleton.metric:
    raise UserError(
      f'{first.name} is scored by {first.skeleton.metric}, {run.name} by '
      f'{run.skeleton.metric}; these numbers do not compare.'
    )
  for what in ('split', 'people', 'groups', 'people_id'):
    a, b = (
      ', '.join(value) if isinstance(value, dict) else value
      for value in (each.results.get(what) for each in (first, run))
    )
    # Older results have no `people_id`.
    if a != b and None not in (a, b):
      raise UserError(
        f'{first.name} and {run.name} were scored on different people or '
        f'joints ({what} {a} and {b}); evaluate both on the same.'
      )


def _load(folder: Path, name: str) -> Run:
  if not folder.is_dir():
    raise UserError(f"{folder} is not a folder; name a run's workdir.")
  path = folder / 'results.json'
  if not path.exists():
    raise UserError(
      f'{folder} has no results.json; evaluate the run first, with --mode='
      f'evaluate --workdir={folder}.'
    )
  results = typed_json.decode(typed_json.read(path), Results, path)
  # A resumed run may repeat a step.
  rows = {
    row['step']: row
    for row in writer.read_metrics(folder / 'metrics.jsonl')
    if row['kind'] == 'valid'
  }
  if not rows:
    raise UserError(f'{folder} has no validation; train to the first one.')
  skeleton = run_config.load_skeleton(folder)
  return Run(
    name=name,
    config=_as_json(run_config.load(folder)),
    skeleton=skeleton,
    results=_checked(path, results, skeleton),
    validation=[rows[step] for step in sorted(rows)],
  )


def _load_saved(path: Path, name: str) -> Run:
  saved = typed_json.decode(typed_json.read(path), _Saved, path)
  try:
    skeleton = skeleton_lib.from_json(saved.skeleton)
    rows = sorted(saved.validation, key=lambda row: row['step'])
  except (LookupError, ValueError) as error:
    raise UserError(f'{path} cannot be read ({error}).') from error
  return Run(
    name=name,
    # A run saved before a setting existed has its default.
    config=_as_json(Config()) | saved.config,
    skeleton=skeleton,
    results=_checked(path, saved.results, skeleton),
    validation=rows,
  )


def _as_json(config: Config) -> dict[str, Any]:
  """The settings by dotted name, with lists in the place of tuples."""
  return json.loads(json.dumps(config_lib.flat(config)))


def _checked(path: Path, results: Results, skeleton: Skeleton) -> Results:
  """Returns the results without what nobody compares."""
  results.get('without_averaging', {}).pop('hits', None)
  if 'hits' in results:
    try:
      results_lib.unpack_hits(results, skeleton)
    except (LookupError, TypeError, ValueError, zlib.error) as error:
      raise UserError(f'{path} cannot be read (hits: {error}).') from error
  return results


def save(runs: Sequence[Run], folder: Path) -> list[Path]:
  """Writes what a comparison needs of each run as NAME.json; returns the files.

  At most 100 rows of a run's validation are kept, the last one always.

  Raises:
    UserError: two runs would have the same file.
  """
  paths = [
    folder / f'{Path(run.name).name.removesuffix(".json")}.json' for run in runs
  ]
  owners = {}
  for run, path in zip(runs, paths, strict=True):
    if (other := owners.setdefault(path, run)) is not run:
      raise UserError(
        f'{other.name} and {run.name} would both be saved as {path}; rename '
        'the folder of one.'
      )
  folder.mkdir(parents=True, exist_ok=True)
  for run, path in zip(runs, paths, strict=True):
    every = -(-len(run.validation) // _ROWS)
    kept = {'validation': run.validation[::-1][::every][::-1]}
    files.write(path, json.dumps(dataclasses.asdict(run) | kept) + '\n')
  return paths


def load_published() -> list[dict[str, Any]]:
  """Reads `published.csv`: text as it is, numbers in percent or None."""
  text = (resources.files('hg_jax.comparison') / 'published.csv').read_text()
  words = ('name', 'convention', 'split', 'source', 'note')
  return [
    {
      key: value if key in words else float(value) if value else None
      for key, value in row.items()
    }
    for row in csv.DictReader(text.splitlines())
  ]
