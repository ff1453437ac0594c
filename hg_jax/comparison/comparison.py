"""Finished runs side by side, as a page of tables.

Runs that differ in the seed alone are a group, with one name.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import numpy as np

from hg_jax.comparison import finished
from hg_jax.comparison.finished import Run
from hg_jax.evaluation import results as results_lib
from hg_jax.metrics import pck
from hg_jax.metrics.pck import Metric


def markdown(runs: Sequence[Run], published: Sequence[Mapping]) -> str:
  """Lists all numbers, and the settings that differ, for readers."""
  metric = pck.create_metric(runs[0].skeleton)
  groups = by_seed(runs)
  parts = [
    f'# {metric.name()}: {people_of(runs)}',
    f'Percent, at {metric.threshold:g} unless it says otherwise; ± is one '
    'standard error.',
    _scores(runs, metric),
    '\n'.join(f'- `{name}`: {t.source}' for name, t in metric.totals.items()),
    *_compared(groups, metric),
    '## Settings that differ',
    _settings(groups),
    '## all_joints after each stack',
    _by_stack(groups),
  ]
  if published:
    parts += ['## Published', _published(published)]
  return '\n\n'.join(parts) + '\n'


def people_of(runs: Sequence[Run]) -> str:
  """Says who the runs were scored on, for titles."""
  first = runs[0].results
  return f'{first["people"]:,} people of the {first["split"]} split'


def _scores(runs: Sequence[Run], metric: Metric) -> str:
  rows = []
  for results in (run.results for run in runs):
    errors, fine = results['standard_error'], f'at_{metric.fine:g}'
    row = {name: _number(x) for name, x in results['groups'].items()}
    row |= {
      name: f'{_number(total)} ± {_number(errors[name])}'
      for name, total in results['totals'].items()
    }
    row |= {
      f'{name} at {metric.fine:g}': _number(results[f'totals_{fine}'][name])
      for name in dict.fromkeys(['all_joints', metric.curve])
    }
    row |= {
      name: f'{x:.3f}'
      for name, x in results.get('oks', {}).items()
      if x is not None
    }
    row |= {'AUC': _number(results['auc']), 'step': f'{results["step"]:,}'}
    rows.append(row)
  columns = list(dict.fromkeys(name for row in rows for name in row))
  lines = [
    [run.name, *(row.get(name, '') for name in columns)]
    for run, row in zip(runs, rows, strict=True)
  ]
  return _table(['run', *columns], lines)


def _compared(groups: Mapping[str, Sequence[Run]], metric: Metric) -> list[str]:
  """Differences over people, and over seeds, where there are such."""
  parts = []
  with_hits = {
    name: group
    for name, group in groups.items()
    if all('hits' in run.results for run in group)
  }
  over_seeds = has_seeds(groups)
  if len(with_hits) > 1:
    note = (
      'Points, of means over seeds. The first ± is the standard error over '
      "people, of the paired difference of each person's mean over seeds; the "
      'second, where both have several seeds, is the standard error over '
      'seeds, of the difference of the two means.'
      if over_seeds
      else 'Points; ± is the standard error of the paired difference over '
      'people.'
    )
    parts += [
      f'## Minus {next(iter(with_hits))}, on the same people',
      note,
      _differences(with_hits, metric),
    ]
  if over_seeds:
    parts += [
      '## Over seeds',
      'Means; ± is the standard deviation over seeds.',
      _over_seeds(groups, metric),
    ]
  return parts


def _differences(groups: Mapping[str, Sequence[Run]], metric: Metric) -> str:
  (_, first), *others = groups.items()
  first_moves = _mean_influences(first, metric)
  rows = []
  for name, group in others:
    moves = _mean_influences(group, metric)
    errors = pck.standard_errors(
      {total: moves[total] - first_moves[total] for total in metric.totals}
    )
    cells = [
      _difference(*(totals(runs, total) for runs in (group, first)), error)
      for total, error in errors.items()
    ]
    rows.append([name, *cells])
  return _table(['run', *metric.totals], rows)


def _mean_influences(
  group: Sequence[Run], metric: Metric
) -> dict[str, np.ndarray]:  # f64[P], points
  """Each person's influence on the means over the runs of a group."""
  hits = [results_lib.unpack_hits(run.results, run.skeleton) for run in group]
  moves = [metric.influences(each, each['scored']) for each in hits]
  return {
    name: np.mean([move[name] for move in moves], axis=0)
    for name in metric.totals
  }


def _difference(
  ours: Sequence[float | None],  # percent, of each seed
  theirs: Sequence[float | None],
  error: float | None,  # over people
) -> str:
  if None in (*ours, *theirs):
    return ''
  text = f'{mean(ours) - mean(theirs):+.2f} ± {_number(error)}'
  if max(len(ours), len(theirs)) > 1:
    text += ' (people)'
  if min(len(ours), len(theirs)) > 1:
    variances = (np.var(x, ddof=1) / len(x) for x in (ours, theirs))
    text += f' ± {math.sqrt(sum(variances)):.2f} (seeds)'
  return text


def by_seed(runs: Sequence[Run]) -> dict[str, list[Run]]:
  """Puts the runs together that differ in the seed alone.

  Returns:
    The groups by name: of one run its own name, of several what their names
    share, without the folder and the word seed.
  """
  by_config = {}
  for run in runs:
    config = {key: v for key, v in run.config.items() if key != 'seed'}
    key, n = json.dumps(config, sort_keys=True), 0
    # A seed that comes again differs in something else, such as the commit.
    while run.config['seed'] in _seeds(by_config.get((key, n), [])):
      n += 1
    by_config.setdefault((key, n), []).append(run)
  groups = list(by_config.values())
  paths = [_shared_name([run.name for run in group]) for group in groups]
  short = [
    path if len(group) == 1 else PurePath(path).name
    for path, group in zip(paths, groups, strict=True)
  ]
  every_name = [', '.join(run.name for run in group) for group in groups]
  names = next(
    names
    for names in (short, paths, every_name)
    if all(names) and len(set(names)) == len(names)
  )
  return dict(zip(names, groups, strict=True))


def _shared_name(names: Sequence[str]) -> str:
  """'rmsprop8' of rmsprop8_seed10 and rmsprop8_seed11."""
  if len(names) == 1:
    return names[0]
  return re.sub(r'[\W_]*(seed[\W_]*\d*)?$', '', os.path.commonprefix(names))


def has_seeds(groups: Mapping[str, Sequence[Run]]) -> bool:
  """Whether a group has several runs, so that there are means over seeds."""
  return any(len(group) > 1 for group in groups.values())


def totals(group: Sequence[Run], name: str) -> list[float | None]:
  """A total of each run, in percent."""
  return [run.results['totals'][name] for run in group]


def mean(values: Iterable[float | None]) -> float | None:
  """The mean, or None where one of the values is."""
  values = list(values)
  return None if None in values else float(np.mean(values))


def deviation(values: Iterable[float | None]) -> float | None:
  """The standard deviation over seeds; None for one, or where one is None."""
  values = list(values)
  if None in values or len(values) == 1:
    return None
  return float(np.std(values, ddof=1))


def mean_validation(
  group: Sequence[Run], key: str
) -> list[tuple[int, float | None]]:
  """A score of validation by step, the mean of the runs where all have it."""
  by_step = [{row['step']: row[key] for row in run.validation} for run in group]
  return [
    (step, mean(scores[step] for scores in by_step))
    for step in by_step[0]
    if all(step in scores for scores in by_step)
  ]


def _settings(groups: Mapping[str, Sequence[Run]]) -> str:
  changed = finished.differences([group[0] for group in groups.values()])
  seeds = [', '.join(map(str, _seeds(group))) for group in groups.values()]
  changed |= {'seed': seeds} if len(set(seeds)) > 1 else {}
  rows = [
    [f'`{key}`', *(f'`{value}`' for value in values)]
    for key, values in changed.items()
  ]
  if rows:
    return _table(['setting', *groups], rows)
  return 'None but the seed.' if has_seeds(groups) else 'None.'


def _seeds(group: Sequence[Run]) -> list[int]:
  return [run.config['seed'] for run in group]


def _by_stack(groups: Mapping[str, Sequence[Run]]) -> str:
  rows = []
  for name, group in groups.items():
    stacks = zip(*(run.results['stacks'] for run in group), strict=True)
    means = (
      mean(stack['totals']['all_joints'] for stack in each) for each in stacks
    )
    rows.append([name, *map(_number, means)])
  width = max(map(len, rows))
  rows = [[*row, *[''] * (width - len(row))] for row in rows]
  return _table(['run', *(f'{n}' for n in range(1, width))], rows)


def _over_seeds(groups: Mapping[str, Sequence[Run]], metric: Metric) -> str:
  rows = []
  for name, group in groups.items():
    row = [name, ', '.join(map(str, _seeds(group)))]
    for total in metric.totals:
      values = totals(group, total)
      spread = deviation(values)
      row.append(
        _number(mean(values)) + ('' if spread is None else f' ± {spread:.2f}')
      )
    rows.append(row)
  return _table(['run', 'seeds', *metric.totals], rows)


def _published(published: Sequence[Mapping]) -> str:
  note = (
    'A total compares only with totals of its own convention: `official` is '
    "the test set's, `own` a metric of the authors' own. The report quotes "
    'Newell et al. as 88.1 beside its own 88.5, which is another convention.'
  )
  rows = [
    ['' if value is None else str(value) for value in row.values()]
    for row in published
  ]
  return f'{note}\n\n{_table(list(published[0]), rows)}'


def _number(value: float | None) -> str:
  return '' if value is None else f'{value:.2f}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [head, ['---'] * len(head), *rows]
  cells = [[cell.replace('|', r'\|') for cell in line] for line in lines]
  return '\n'.join(f'| {" | ".join(line)} |' for line in cells)
