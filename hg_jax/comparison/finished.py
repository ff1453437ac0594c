"""Finished runs and published results, as `compare` sets them side by side.

A run is a workdir with `config.json`, `metrics.jsonl` and `results.json`, or
what `save` made of it: a small file with all that a comparison needs.
"""

import base64
import csv
import dataclasses
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hg_jax.base import config as config_lib
from hg_jax.base import files
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, cannot_be_read
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import results as results_lib
from hg_jax.metrics import pck
from hg_jax.run import run_config, writer

_ROWS = 100  # of a saved run's validation
# What reading a damaged file raises, or one of another form.
_DAMAGED = (
  AttributeError,
  LookupError,
  TypeError,
  ValueError,
  zlib.error,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """What a workdir or a saved file says about a run.

  Attributes:
    name: the folder's or file's own, or its path where names are not unique.
    config: each setting by its dotted name.
    skeleton: of its joints, which names the metric.
    results: as evaluation wrote `results.json`.
    validation: the rows of `metrics.jsonl` of a validation, by rising step.
  """

  name: str
  config: dict
  skeleton: Skeleton
  results: dict
  validation: list[dict]


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
    _load(folder, name) for folder, name in zip(folders, names, strict=True)
  ]
  first = runs[0]
  for run in runs[1:]:
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
      # Results did not always have `people_id`.
      if a != b and None not in (a, b):
        raise UserError(
          f'{first.name} and {run.name} were scored on different people or '
          f'joints ({what} {a} and {b}); evaluate both on the same.'
        )
  return runs


def _load(folder: Path, name: str) -> Run:
  if folder.suffix == '.json':
    return _load_saved(folder, name)
  if not folder.is_dir():
    raise UserError(f"{folder} is not a folder; name a run's workdir.")
  path = folder / 'results.json'
  if not path.exists():
    raise UserError(
      f'{folder} has no results.json; evaluate the run first, with --mode='
      f'evaluate --workdir={folder}.'
    )
  try:
    skeleton = run_config.load_skeleton(folder)
    results = files.read_json(path)
    _check_results(results, skeleton)
    # Those of the weights before averaging, which nobody compares.
    results.get('without_averaging', {}).pop('hits', None)
    rows = writer.read_metrics(folder / 'metrics.jsonl')
    # A resumed run may repeat a step.
    rows = {row['step']: row for row in rows if row['kind'] == 'valid'}
    _check_validation(list(rows.values()), skeleton)
    config = run_config.load(folder)
  except OSError as error:
    raise cannot_be_read(error.filename, error) from error
  except _DAMAGED as error:
    raise UserError(
      f'{folder} is damaged, or of another version of hg_jax ({error}).'
    ) from error
  if not rows:
    raise UserError(f'{folder} has no validation; train to the first one.')
  return Run(
    name=name,
    config=_lists(config),
    skeleton=skeleton,
    results=results,
    validation=[rows[step] for step in sorted(rows)],
  )


def _lists(config: Config) -> dict[str, Any]:
  """The settings by dotted name, with lists as a saved run has them."""
  return json.loads(json.dumps(config_lib.flat(config)))


def _check_results(results: dict[str, Any], skeleton: Skeleton) -> None:
  """Raises one of `_DAMAGED` where a comparison would miss a result."""
  metric = pck.create_metric(skeleton)
  fine = f'totals_at_{metric.fine:g}'
  wanted = ('step', 'split', 'people', 'totals', 'groups', 'stacks')
  wanted += ('standard_error', fine, 'auc')
  if missing := [key for key in wanted if key not in results]:
    raise LookupError(f'the results lack {", ".join(missing)}')
  for key in ('step', 'people'):
    if type(results[key]) is not int:
      raise ValueError(f'{key} is {results[key]!r}')
  if not isinstance(results['split'], str):
    raise ValueError(f'split is {results["split"]!r}')
  _check_numbers(results, ['auc'])
  _check_numbers(results['groups'], results['groups'])
  for key in ('totals', 'standard_error'):
    _check_numbers(results[key], metric.totals)
  _check_numbers(results[fine], ['all_joints', metric.curve])
  for stack in results['stacks']:
    _check_numbers(stack['totals'], ['all_joints'])
  _check_numbers(results.get('oks', {}), results.get('oks', {}))
  if 'hits' in results:
    hits = results_lib.unpack_hits(results, skeleton)
    if missing := {'below', 'within', 'scored'} - hits.keys():
      raise LookupError(f'the hits lack {", ".join(sorted(missing))}')


def _check_validation(rows: list[dict], skeleton: Skeleton) -> None:
  """Raises one of `_DAMAGED` where a curve would miss a value."""
  numbers = ['loss', 'skill', *pck.create_metric(skeleton).totals]
  for row in rows:
    if type(row['step']) is not int:
      raise ValueError(f'a validation is of step {row["step"]!r}')
    _check_numbers(row, numbers)


def _check_numbers(values: dict[str, Any], names: Iterable[str]) -> None:
  for name in names:
    value = values[name]
    if type(value) not in (int, float, type(None)):
      raise ValueError(f'{name} is {value!r}, not a number')
    if value is not None and not math.isfinite(value):
      raise ValueError(f'{name} is {value}')


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
    fields = dataclasses.asdict(run)
    fields['validation'] = run.validation[::-1][::every][::-1]
    if 'hits' in run.results:
      fields['results']['hits'] = _compress(run.results['hits'])
    files.write(path, json.dumps(fields) + '\n')
  return paths


def _load_saved(path: Path, name: str) -> Run:
  try:
    fields = files.read_json(path)
    fields['skeleton'] = skeleton_lib.from_json(fields['skeleton'])
    run = Run(**fields | {'name': name})
    if 'zlib' in run.results.get('hits', {}):
      run.results['hits'] = _decompress(run.results['hits'])
    _check_results(run.results, run.skeleton)
    if not run.validation:
      raise ValueError('it has no validation')
    _check_validation(run.validation, run.skeleton)
    # A run saved before there was a setting has its default.
    return dataclasses.replace(run, config=_lists(Config()) | run.config)
  except OSError as error:
    raise cannot_be_read(error.filename, error) from error
  except _DAMAGED as error:
    raise UserError(
      f'{path} is not what `compare --save` writes ({error}).'
    ) from error


def _compress(hits: dict[str, str]) -> dict[str, str | list[str]]:
  """What `pack_hits` returned, in half the space or less."""
  # Together, for they are much alike.
  together = b''.join(map(base64.b64decode, hits.values()))
  text = base64.b64encode(zlib.compress(together, 9)).decode()
  return {'names': list(hits), 'zlib': text}


def _decompress(hits: dict[str, str | list[str]]) -> dict[str, str]:
  together = zlib.decompress(base64.b64decode(hits['zlib']))
  size = len(together) // len(hits['names'])
  return {
    name: base64.b64encode(together[n * size : (n + 1) * size]).decode()
    for n, name in enumerate(hits['names'])
  }


def load_published() -> list[dict]:
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


def differences(runs: Sequence[Run]) -> dict[str, list]:
  """The settings that differ, with a value per run."""
  values = {key: [run.config[key] for run in runs] for key in runs[0].config}
  return {key: row for key, row in values.items() if row != [row[0]] * len(row)}
