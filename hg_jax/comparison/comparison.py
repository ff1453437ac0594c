"""Compares finished runs: groups over seeds, and a page of tables.

Runs that differ only in the seed are a group, with one name.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from hg_jax.comparison.finished import Run
from hg_jax.evaluation import results as results_lib
from hg_jax.metrics import pck
from hg_jax.metrics.pck import Metric

Groups = Mapping[str, Sequence[Run]]  # by name


def markdown(runs: Sequence[Run], published: Sequence[Mapping]) -> str:
  """Writes all numbers, and the settings that differ, as Markdown.

  A number that a run does not have, or that is not finite, leaves a gap.
  """
  metric = pck.create_metric(runs[0].skeleton)
  groups = by_seed(runs)
  parts = [
    f'# {metric.name()}: {people_of(runs)}',
    f'Percent, at {metric.threshold:g} unless it says otherwise; ± is one '
    'standard error.',
    _scores(runs, metric),
    '\n'.join(f'- `{name}`: {t.source}' for name, t in metric.totals.items()),
    *_differences(groups, metric),
    *_over_seeds(groups, metric),
    '## Settings that differ',
    _settings(groups),
    '## all_joints after each stack',
    _by_stack(groups),
  ]
  if published:
    parts += ['## Published', _published(published)]
  return '\n\n'.join(parts) + '\n'


def people_of(runs: Sequence[Run]) -> str:
  """Describes the people that the runs were scored on, for titles."""
  first = runs[0].results
  return f'{first["people"]:,} people of the {first["split"]} split'


def _scores(runs: Sequence[Run], metric: Metric) -> str:
  rows = []
  for results in (run.results for run in runs):
    errors = results.get('standard_error', {})
    fine = results.get(f'totals_at_{metric.fine:g}', {})
    row = {name: _number(x) for name, x in results['groups'].items()}
    row |= {
      name: f'{_number(total)} ± {_number(errors.get(name))}'
      for name, total in results['totals'].items()
    }
    row |= {
      f'{name} at {metric.fine:g}': _number(fine.get(name))
      for name in dict.fromkeys(['all_joints', metric.curve])
    }
    row |= {
      name: f'{x:.3f}'
      for name, x in results.get('oks', {}).items()
      if x is not None
    }
    row |= {'AUC': _number(results.get('auc')), 'step': f'{results["step"]:,}'}
    rows.append(row)
  columns = list(dict.fromkeys(name for row in rows for name in row))
  return _table(
    ['run', *columns],
    [
      [run.name, *(row.get(name, '') for name in columns)]
      for run, row in zip(runs, rows, strict=True)
    ],
  )


def _differences(groups: Groups, metric: Metric) -> list[str]:
  """Differences to the first group, for groups with the hits of each person."""
  groups = {
    name: group
    for name, group in groups.items()
    if all('hits' in run.results for run in group)
  }
  if len(groups) < 2:
    return []
  (first_name, first), *others = groups.items()
  first_moves = _mean_influences(first, metric)
  rows = []
  for name, group in others:
    moves = _mean_influences(group, metric)
    errors = pck.standard_errors(
      {total: moves[total] - first_moves[total] for total in metric.totals}
    )
    cells = [
      _difference(totals(group, total), totals(first, total), error)
      for total, error in errors.items()
    ]
    rows.append([name, *cells])
  note = (
    'Points, of means over seeds. The first ± is the standard error over '
    "people, of the paired difference of each person's mean over seeds; the "
    'second, where both have several seeds, is the standard error over '
    'seeds, of the difference of the two means.'
    if has_seeds(groups)
    else 'Points; ± is the standard error of the paired difference over people.'
  )
  title = f'## Minus {first_name}, on the same people'
  return [title, note, _table(['run', *metric.totals], rows)]


def _mean_influences(
  group: Sequence[Run], metric: Metric
) -> dict[str, np.ndarray]:  # f64[P], points
  """Returns each person's influence on the means over the runs of a group."""
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
  """Groups the runs that differ only in the seed.

  Returns:
    The groups by name. The name of a group of one is the run's. The name of
    several is what their names share, without the folder and the word seed.
  """
  by_config = {}
  for run in runs:
    config = {key: v for key, v in run.config.items() if key != 'seed'}
    key, n = json.dumps(config, sort_keys=True), 0
    # Two runs of one seed differ in something else, such as the commit.
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
  """Returns 'rmsprop8' for rmsprop8_seed10 and rmsprop8_seed11."""
  if len(names) == 1:
    return names[0]
  return re.sub(r'[\W_]*(seed[\W_]*\d*)?$', '', os.path.commonprefix(names))


def has_seeds(groups: Groups) -> bool:
  """Whether a group has several runs, so that there are means over seeds."""
  return any(len(group) > 1 for group in groups.values())


def _seeds(group: Sequence[Run]) -> list[int]:
  return [run.config['seed'] for run in group]


def totals(group: Sequence[Run], name: str) -> list[float | None]:
  """Returns one total of each run, in percent."""
  return [run.results['totals'].get(name) for run in group]


def mean(values: Iterable[float | None]) -> float | None:
  """Returns the mean; None if one of the values is None."""
  values = list(values)
  return None if None in values else float(np.mean(values))


def deviation(values: Sequence[float | None]) -> float | None:
  """Returns the standard deviation over seeds; None if it is not defined."""
  if None in values or len(values) == 1:
    return None
  return float(np.std(values, ddof=1))


def mean_validation(
  group: Sequence[Run], key: str
) -> list[tuple[int, float | None]]:
  """Returns a validation score's mean at each step that all the runs have."""
  by_step = [
    {row['step']: row.get(key) for row in run.validation} for run in group
  ]
  return [
    (step, mean(scores[step] for scores in by_step))
    for step in by_step[0]
    if all(step in scores for scores in by_step)
  ]


def setting_differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
  """Returns the settings that differ, with the value of each run."""
  values = {key: [run.config[key] for run in runs] for key in runs[0].config}
  return {key: row for key, row in values.items() if row != [row[0]] * len(row)}


def _settings(groups: Groups) -> str:
  changed = setting_differences([group[0] for group in groups.values()])
  seeds = [', '.join(map(str, _seeds(group))) for group in groups.values()]
  changed |= {'seed': seeds} if len(set(seeds)) > 1 else {}
  rows = [
    [f'`{key}`', *(f'`{value}`' for value in values)]
    for key, values in changed.items()
  ]
  if rows:
    return _table(['setting', *groups], rows)
  return 'None but the seed.' if has_seeds(groups) else 'None.'


def _by_stack(groups: Groups) -> str:
  rows = []
  for name, group in groups.items():
    stacks = zip(*(run.results['stacks'] for run in group), strict=True)
    means = (
      mean(stack['totals'].get('all_joints') for stack in each)
      for each in stacks
    )
    rows.append([name, *map(_number, means)])
  width = max(map(len, rows))
  rows = [[*row, *[''] * (width - len(row))] for row in rows]
  return _table(['run', *(f'{n}' for n in range(1, width))], rows)


def _over_seeds(groups: Groups, metric: Metric) -> list[str]:
  if not has_seeds(groups):
    return []
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
  return [
    '## Over seeds',
    'Means; ± is the standard deviation over seeds.',
    _table(['run', 'seeds', *metric.totals], rows),
  ]


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
  return '' if value is None or not math.isfinite(value) else f'{value:.2f}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [head, ['---'] * len(head), *rows]
  cells = [[cell.replace('|', r'\|') for cell in line] for line in lines]
  return '\n'.join(f'| {" | ".join(line)} |' for line in cells)
