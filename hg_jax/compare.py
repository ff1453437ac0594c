"""Runs side by side: the report's Figures 7 and 8, and one table.

  python -m hg_jax.compare runs/rmsprop8 runs/adam16 --output=comparison

Scores compare only in one convention (`pckh.TOTALS`), on one split and for
the same people. --published adds others' results, in the table all of them
and in Figure 7 those of the chosen --convention.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

from absl import flags
from matplotlib.figure import Figure

from hg_jax.base import command
from hg_jax.base.errors import UserError
from hg_jax.metrics import pckh
from hg_jax.pictures import plots
from hg_jax.pictures.runs import Run, differences, load, load_published


def main(paths: list[str]) -> None:
  options = flags.FLAGS
  if not options.output:
    raise UserError('say where to write: --output=DIR.')
  runs = load(paths)
  published = load_published() if options.published else []
  output = pathlib.Path(options.output)
  write(runs, published, output, convention=options.convention)
  print(f'{output}: figure7 and figure8 (.png, .svg), table.md, table.json')


def write(
  runs: Sequence[Run],
  published: Sequence[Mapping],
  output: pathlib.Path,
  *,
  convention: str,
) -> None:
  """Writes figure7 and figure8, .png and .svg, table.md and table.json.

  Raises:
    UserError: `output` cannot be written to.
  """
  try:
    output.mkdir(parents=True, exist_ok=True)
    (output / 'table.md').write_text(markdown(runs, published), 'utf-8')
    (output / 'table.json').write_text(as_json(runs, published), 'utf-8')
    figure7 = bars_by_joint(runs, published, convention)
    plots.save(figure7, output / 'figure7')
    plots.save(curves_of_validation(runs, convention), output / 'figure8')
  except OSError as error:
    raise UserError(f'cannot write to {output}: {error.strerror}.') from error


def bars_by_joint(
  runs: Sequence[Run], published: Sequence[Mapping], convention: str
) -> Figure:
  """Figure 7: the groups of joints and the total of `convention`.

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
      run.name: [*run.results['groups'].values(), total]
      for run in runs
      for total in [run.results['totals'][convention]]
    },
    rows,
    title=f'Accuracy by joint: {_people(runs)}{gray}',
    label='PCKh@0.5, % of labeled joints',
  )


def curves_of_validation(runs: Sequence[Run], convention: str) -> Figure:
  """Figure 8: validation loss and PCKh over the steps of training.

  Losses of heatmaps with wider peaks are higher; where runs differ in that,
  their skill is drawn, the share of the all-zero prediction's loss removed.
  """
  widths = {
    run.config['data.sigma'] / run.config['data.image_size'] for run in runs
  }
  left = {'loss': 'Validation loss, mean squared error per heatmap pixel'}
  if len(widths) > 1:
    left = {'skill': 'Validation skill, 1 - loss / loss of all zeros'}
  labels = {**left, convention: f'Validation PCKh@0.5 {convention}, %'}
  panels = [
    plots.Curves(
      label=label,
      lines={
        run.name: [(row['step'], row[key]) for row in run.validation]
        for run in runs
      },
    )
    for key, label in labels.items()
  ]
  return plots.curves(panels, title='Validation during training')


def as_json(runs: Sequence[Run], published: Sequence[Mapping]) -> str:
  """All numbers, and the settings that differ, for machines."""
  table = {
    'runs': [{'name': run.name, **run.results} for run in runs],
    'config_differences': differences(runs),
    'published': published,
  }
  return json.dumps(table, indent=2) + '\n'


def markdown(runs: Sequence[Run], published: Sequence[Mapping]) -> str:
  """All numbers, and the settings that differ, for readers."""
  names = [run.name for run in runs]
  changed = [
    [f'`{key}`', *(f'`{value}`' for value in values)]
    for key, values in differences(runs).items()
  ]
  stacks = max(len(run.results['stacks']) for run in runs)
  parts = [
    f'# PCKh: {_people(runs)}',
    'Percent, at 0.5 unless it says otherwise; ± is one standard error.',
    _scores(runs),
    '\n'.join(f'- `{name}`: {t.source}' for name, t in pckh.TOTALS.items()),
    '## Settings that differ',
    _table(['setting', *names], changed) if changed else 'None.',
    '## all_joints after each stack',
    _table(
      ['run', *(f'{stack}' for stack in range(1, stacks + 1))],
      [
        [
          run.name,
          *(
            _number(stack['totals']['all_joints'])
            for stack in run.results['stacks']
          ),
          *[''] * (stacks - len(run.results['stacks'])),
        ]
        for run in runs
      ],
    ),
  ]
  if published:
    parts += ['## Published', _published(published)]
  return '\n\n'.join(parts) + '\n'


def _people(runs: Sequence[Run]) -> str:
  first = runs[0].results
  return f'{first["people"]:,} people of the {first["split"]} split'


def _scores(runs: Sequence[Run]) -> str:
  groups = list(runs[0].results['groups'])
  totals = list(pckh.TOTALS)
  rows = [
    [
      run.name,
      *(_number(value) for value in run.results['groups'].values()),
      *(
        f'{_number(run.results["totals"][total])} ± '
        f'{_number(run.results["standard_error"][total])}'
        for total in totals
      ),
      *(_number(run.results['totals_at_0.1'][total]) for total in totals[:2]),
      _number(run.results['auc']),
      f'{run.results["step"]:,}',
    ]
    for run in runs
  ]
  fine = [f'{total} at 0.1' for total in totals[:2]]
  return _table(['run', *groups, *totals, *fine, 'AUC', 'step'], rows)


def _published(published: Sequence[Mapping]) -> str:
  note = (
    'A total compares only with totals of its own convention: `official` is '
    "the test set's, `own` a metric of the authors' own. The report quotes "
    'Newell et al. as 88.1 beside its own 88.5, which is another convention.'
  )
  head = list(published[0])
  rows = [
    ['' if value is None else str(value) for value in row.values()]
    for row in published
  ]
  return f'{note}\n\n{_table(head, rows)}'


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
