"""Finished runs side by side, as a page of tables."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from hg_jax.evaluation import finished
from hg_jax.evaluation.finished import Run
from hg_jax.metrics import pck
from hg_jax.metrics.pck import Metric


def markdown(runs: Sequence[Run], published: Sequence[Mapping]) -> str:
  """Lists all numbers, and the settings that differ, for readers."""
  metric = pck.create_metric(runs[0].skeleton)
  changed = [
    [f'`{key}`', *(f'`{value}`' for value in values)]
    for key, values in finished.differences(runs).items()
  ]
  by_stack = [
    [_number(stack['totals']['all_joints']) for stack in run.results['stacks']]
    for run in runs
  ]
  stacks = max(len(row) for row in by_stack)
  by_stack = [
    [run.name, *row, *[''] * (stacks - len(row))]
    for run, row in zip(runs, by_stack, strict=True)
  ]
  parts = [
    f'# {metric.name()}: {people_of(runs)}',
    f'Percent, at {metric.threshold:g} unless it says otherwise; ± is one '
    'standard error.',
    _scores(runs, metric),
    '\n'.join(f'- `{name}`: {t.source}' for name, t in metric.totals.items()),
    *_compared(runs, metric),
    '## Settings that differ',
    _table(['setting', *(run.name for run in runs)], changed)
    if changed
    else 'None.',
    '## all_joints after each stack',
    _table(['run', *(f'{n + 1}' for n in range(stacks))], by_stack),
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


def _compared(runs: Sequence[Run], metric: Metric) -> list[str]:
  """Differences over people, and over seeds, where there are such."""
  parts = []
  with_hits = [run for run in runs if 'hits' in run.results]
  if len(with_hits) > 1:
    parts += [
      f'## Minus {with_hits[0].name}, on the same people',
      'Points; ± is the standard error of the paired difference over people.',
      _differences(with_hits, metric),
    ]
  groups = by_seed(runs)
  if any(len({run.config['seed'] for run in group}) > 1 for group in groups):
    parts += [
      '## Over seeds',
      'Means; ± is the standard deviation over seeds.',
      _over_seeds(groups, metric),
    ]
  return parts


def _differences(runs: Sequence[Run], metric: Metric) -> str:
  moves = []
  for run in runs:
    hits = finished.unpack_hits(run)
    moves.append(metric.influences(hits, hits['scored']))
  first = runs[0].results['totals']
  rows = []
  for run, move in zip(runs[1:], moves[1:], strict=True):
    errors = pck.standard_errors(
      {name: move[name] - moves[0][name] for name in metric.totals}
    )
    rows.append(
      [
        run.name,
        *(
          f'{run.results["totals"][name] - first[name]:+.2f} ± '
          f'{_number(errors[name])}'
          if first[name] is not None
          else ''
          for name in metric.totals
        ),
      ]
    )
  return _table(['run', *metric.totals], rows)


def by_seed(runs: Sequence[Run]) -> list[list[Run]]:
  """Puts the runs together that differ in the seed alone."""
  groups = {}
  for run in runs:
    config = {key: v for key, v in run.config.items() if key != 'seed'}
    groups.setdefault(json.dumps(config, sort_keys=True), []).append(run)
  return list(groups.values())


def _over_seeds(groups: Sequence[Sequence[Run]], metric: Metric) -> str:
  rows = []
  for group in groups:
    row = [group[0].name, ', '.join(str(run.config['seed']) for run in group)]
    for name in metric.totals:
      totals = [run.results['totals'][name] for run in group]
      if None in totals:
        row.append('')
      elif len(totals) == 1:
        row.append(f'{totals[0]:.2f}')
      else:
        row.append(f'{np.mean(totals):.2f} ± {np.std(totals, ddof=1):.2f}')
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
