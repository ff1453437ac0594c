"""Runs side by side: the report's Figures 7 and 8, and one table.

  python -m hg_jax.compare runs/rmsprop8 runs/adam16 --output=comparison

Scores compare only in one convention (`pckh.TOTALS`), on one split and for
the same people. --published adds others' results: all of them to the table,
those of the chosen --convention to Figure 7.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags
from matplotlib.figure import Figure

from hg_jax.base import command
from hg_jax.base.errors import UserError
from hg_jax.evaluation import finished
from hg_jax.evaluation.finished import Run
from hg_jax.metrics import pckh
from hg_jax.pictures import plots


def main(paths: list[str]) -> None:
  options = flags.FLAGS
  if not options.output:
    raise UserError('say where to write: --output=DIR.')
  runs = finished.load(paths)
  published = finished.load_published() if options.published else []
  output = Path(options.output)
  write(runs, published, output, convention=options.convention)
  print(f'{output}: figure7 and figure8 (.png, .svg), table.md, table.json')


def write(
  runs: Sequence[Run],
  published: Sequence[Mapping],
  output: Path,
  *,
  convention: str,
) -> None:
  """Writes figure7 and figure8, .png and .svg, table.md and table.json.

  Raises:
    UserError: `output` cannot be written to.
  """
  table = {
    'runs': [{'name': run.name, **run.results} for run in runs],
    'config_differences': finished.differences(runs),
    'published': published,
  }
  try:
    output.mkdir(parents=True, exist_ok=True)
    (output / 'table.md').write_text(markdown(runs, published), 'utf-8')
    (output / 'table.json').write_text(json.dumps(table, indent=2) + '\n')
    figure7 = bars_by_joint(runs, published, convention)
    plots.save(figure7, output / 'figure7')
    plots.save(curves_of_validation(runs, convention), output / 'figure8')
  except OSError as error:
    raise UserError(f'cannot write to {output}: {error.strerror}.') from error


def bars_by_joint(
  runs: Sequence[Run], published: Sequence[Mapping], convention: str
) -> Figure:
  """Draws Figure 7: the groups of joints and the total of `convention`.

  Published rows are drawn where they are of the same convention and split
  and have a value for every group.
  """
  first = runs[0].results
  groups = list(first['groups'])
  rows = {
    row['name']: [*(row.get(group) for group in groups), row['total']]
    for row in published
    if row['convention'] == convention and row['split'] == first['split']
  }
  rows = {name: row for name, row in rows.items() if None not in row}
  gray = "; gray: published, MPII's 2,958 people" if rows else ''
  return plots.bars(
    [*groups, f'Total\n{convention}'],
    {
      run.name: [
        *run.results['groups'].values(),
        run.results['totals'][convention],
      ]
      for run in runs
    },
    rows,
    title=f'Accuracy by joint: {_people(runs)}{gray}',
    label='PCKh@0.5, % of labeled joints',
  )


def curves_of_validation(runs: Sequence[Run], convention: str) -> Figure:
  """Draws Figure 8: validation loss and PCKh over the steps of training.

  Losses of heatmaps with wider peaks are higher; where runs differ in that,
  their skill is drawn, the share of the all-zero prediction's loss removed.
  """
  widths = {
    run.config['data.sigma'] / run.config['data.image_size'] for run in runs
  }
  labels = {
    'loss': 'Validation loss, mean squared error per heatmap pixel',
    'skill': 'Validation skill, 1 - loss / loss of all zeros',
    convention: f'Validation PCKh@0.5 {convention}, %',
  }
  del labels['skill' if len(widths) == 1 else 'loss']
  return plots.curves(
    {
      label: {
        run.name: [(row['step'], row[key]) for row in run.validation]
        for run in runs
      }
      for key, label in labels.items()
    },
    title='Validation during training',
  )


def markdown(runs: Sequence[Run], published: Sequence[Mapping]) -> str:
  """Lists all numbers, and the settings that differ, for readers."""
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
    f'# PCKh: {_people(runs)}',
    'Percent, at 0.5 unless it says otherwise; ± is one standard error.',
    _scores(runs),
    '\n'.join(f'- `{name}`: {t.source}' for name, t in pckh.TOTALS.items()),
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


def _people(runs: Sequence[Run]) -> str:
  first = runs[0].results
  return f'{first["people"]:,} people of the {first["split"]} split'


def _scores(runs: Sequence[Run]) -> str:
  rows = []
  for results in (run.results for run in runs):
    errors = results['standard_error']
    rows.append({name: _number(x) for name, x in results['groups'].items()})
    rows[-1] |= {
      name: f'{_number(total)} ± {_number(errors[name])}'
      for name, total in results['totals'].items()
    }
    rows[-1] |= {
      f'{name} at 0.1': _number(results['totals_at_0.1'][name])
      for name in ('all_joints', 'standard')
    }
    rows[-1] |= {'AUC': _number(results['auc']), 'step': f'{results["step"]:,}'}
  lines = [
    [run.name, *row.values()] for run, row in zip(runs, rows, strict=True)
  ]
  return _table(['run', *rows[0]], lines)


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


if __name__ == '__main__':
  # Defined for the command alone: others have flags of the same names.
  flags.DEFINE_string('output', None, 'Folder to write to.')
  flags.DEFINE_bool('published', False, "Others' published results as well.")
  flags.DEFINE_enum(
    'convention', 'all_joints', list(pckh.TOTALS), 'The total of the figures.'
  )
  command.run(main)
