"""Runs side by side: the report's Figures 7 and 8, and one table.

  python -m hg_jax.compare runs/rmsprop8 runs/adam16 --output=comparison

Scores compare only in one metric and one convention, on the same people.
--published adds published results on MPII's 2,958 validation people if the
runs were scored on them: all of them to the table, and those of --convention
to Figure 7.

  python -m hg_jax.compare runs/* --save=results
  python -m hg_jax.compare results/*.json --output=results/comparison

saves what is needed of each run as a small file, and makes the same tables
and figures from these, to the byte. Runs that differ only in the seed share a
bar, a line and a name: rmsprop8_seed0 and rmsprop8_seed1 are rmsprop8.

  python -m hg_jax.compare before.json after.json

prints the ratios of the numbers that `benchmark --json` measured.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags
from matplotlib.figure import Figure

from hg_jax.annotations import mpii
from hg_jax.base import command, files
from hg_jax.base.errors import UserError, system_errors
from hg_jax.comparison import benchmarks, comparison, finished
from hg_jax.comparison.finished import Run
from hg_jax.evaluation import results as results_lib
from hg_jax.metrics import pck
from hg_jax.pictures import plots


def main(paths: list[str]) -> None:
  options = flags.FLAGS
  if paths and all(map(benchmarks.is_benchmark, paths)):
    return print(benchmarks.table(paths))
  if not options.output and not options.save:
    raise UserError('say where to write: --save=DIR or --output=DIR.')
  runs = finished.load(paths)
  if options.save:
    for path in finished.save(runs, Path(options.save)):
      print(path)
  if not options.output:
    return
  metric = pck.create_metric(runs[0].skeleton)
  if options.convention not in metric.totals:
    raise UserError(
      f'--convention={options.convention} is not one of the totals of '
      f'{metric.name()}: {", ".join(metric.totals)}.'
    )
  published = finished.load_published() if options.published else []
  if published and not scored_on_mpii(runs[0]):
    print(
      "Published results are left out: they are PCKh on MPII's 2,958 validation"
      f' people, these {metric.name()} on {comparison.people_of(runs)}.'
    )
    published = []
  output = Path(options.output)
  write(runs, published, output, convention=options.convention)
  print(f'{output}: figure7 and figure8 (.png, .svg), table.md, table.json')


def scored_on_mpii(run: Run) -> bool:
  """Whether the scores are PCKh on MPII's 2,958 validation people."""
  listed = mpii.validation_list()
  listed_id = results_lib.people_id(*listed)
  return (
    run.skeleton.metric == 'pckh'
    and run.results['people'] == len(listed[0])
    # Older results have no `people_id`.
    and run.results.get('people_id', listed_id) == listed_id
  )


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
    'runs': [{'name': run.name, **run.results, 'hits': None} for run in runs],
    'config_differences': comparison.setting_differences(runs),
    'published': published,
  }
  with system_errors(output):
    output.mkdir(parents=True, exist_ok=True)
    files.write(output / 'table.md', comparison.markdown(runs, published))
    files.write(output / 'table.json', json.dumps(table, indent=2) + '\n')
    figure7 = bars_by_joint(runs, published, convention)
    plots.save(figure7, output / 'figure7')
    plots.save(curves_of_validation(runs, convention), output / 'figure8')


def bars_by_joint(
  runs: Sequence[Run], published: Sequence[Mapping], convention: str
) -> Figure:
  """Draws Figure 7: the groups of joints and the total of `convention`.

  Runs that differ only in the seed are one bar, their mean, with a whisker of
  their standard deviation. A published row is drawn if it has the same
  convention and split and a value for every group.
  """
  metric = pck.create_metric(runs[0].skeleton)
  first = runs[0].results
  columns = list(first['groups'])
  rows = {
    row['name']: [*(row.get(column) for column in columns), row['total']]
    for row in published
    if row['convention'] == convention and row['split'] == first['split']
  }
  rows = {name: row for name, row in rows.items() if None not in row}
  groups = comparison.by_seed(runs)
  values = {  # for each column those of each seed
    name: [
      *([run.results['groups'][column] for run in group] for column in columns),
      comparison.totals(group, convention),
    ]
    for name, group in groups.items()
  }
  title = f'{metric.name()} by joint: {comparison.people_of(runs)}'
  if comparison.has_seeds(groups):
    title += '; means over seeds ± their standard deviation'
  if rows:
    title += "; gray: published, MPII's 2,958 people"
  return plots.bars(
    [*columns, f'Total\n{convention}'],
    {name: list(map(comparison.mean, x)) for name, x in values.items()},
    rows,
    deviations={
      name: list(map(comparison.deviation, x)) for name, x in values.items()
    },
    title=title,
    label=f'{metric.name()}, % of labeled joints',
  )


def curves_of_validation(runs: Sequence[Run], convention: str) -> Figure:
  """Draws Figure 8: validation loss and score over the steps of training.

  Runs that differ only in the seed are one line, their mean at the steps that
  all of them have. If batch sizes differ, the axis counts people instead of
  steps, because a step of a larger batch costs more.

  Heatmaps with wider peaks have higher losses. If runs differ in the width,
  the skill is drawn instead: the share of the all-zero prediction's loss that
  is removed.
  """
  metric = pck.create_metric(runs[0].skeleton)
  widths = {
    run.config['data.sigma'] / run.config['data.image_size'] for run in runs
  }
  loss = {
    'loss': 'Validation loss, mean squared error per heatmap pixel',
    'skill': 'Validation skill, 1 - loss / loss of all zeros',
  }
  shown = 'loss' if len(widths) == 1 else 'skill'
  labels = {
    shown: loss[shown],
    convention: f'Validation {metric.name()} {convention}, %',
  }
  groups = comparison.by_seed(runs)
  by_people = len({run.config['batch_size'] for run in runs}) > 1
  title = 'Validation during training'
  if comparison.has_seeds(groups):
    title += ': means over seeds'
  panels = {
    label: {
      name: [
        (step * (group[0].config['batch_size'] if by_people else 1), value)
        for step, value in comparison.mean_validation(group, key)
      ]
      for name, group in groups.items()
    }
    for key, label in labels.items()
  }
  horizontal = 'people seen' if by_people else 'training step'
  return plots.curves(panels, horizontal=horizontal, title=title)


if __name__ == '__main__':
  # Defined only for the command: other commands have flags of these names.
  flags.DEFINE_string('output', None, 'Folder to write to.')
  flags.DEFINE_string('save', None, 'Folder to write NAME.json of each run to.')
  flags.DEFINE_bool('published', False, 'Add published results of others.')
  flags.DEFINE_string('convention', 'all_joints', 'The total of the figures.')
  command.run(main)
