"""Runs side by side: the report's Figures 7 and 8, and one table.

  python -m hg_jax.compare runs/rmsprop8 runs/adam16 --output=comparison

Scores compare only by one metric, in one convention and for the same people.
--published adds others' results on MPII's 2,958 validation people, if the
runs are scored on them: all to the table, those of --convention to Figure 7.

  python -m hg_jax.compare runs/* --save=results
  python -m hg_jax.compare results/*.json --output=results/comparison

keeps what is needed of each run as a small file, and makes the same tables
and figures of these, to the byte. Runs that differ in the seed alone share a
bar, a line and a name: rmsprop8_seed0 and rmsprop8_seed1 are rmsprop8.

  python -m hg_jax.compare before.json after.json

prints the ratios of what `benchmark --json` measured.
"""

import itertools
import json
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from absl import flags
from matplotlib.figure import Figure

from hg_jax.annotations import mpii
from hg_jax.base import command, files
from hg_jax.base.errors import UserError, cannot_be_read, system_errors
from hg_jax.comparison import comparison, finished
from hg_jax.comparison.finished import Run
from hg_jax.evaluation import results as results_lib
from hg_jax.metrics import pck, tables
from hg_jax.pictures import plots


def main(paths: list[str]) -> None:
  options = flags.FLAGS
  if paths and all(map(is_benchmark, paths)):
    return print(benchmarks(paths))
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


def is_benchmark(path: str) -> bool:
  """Whether a .json is not a saved run.

  Raises:
    UserError: it cannot be read, or can be neither.
  """
  return path.endswith('.json') and 'validation' not in _read_json(path)


def _read_json(path: str) -> dict:
  try:
    fields = files.read_json(Path(path))
    if not isinstance(fields, dict):
      raise ValueError('no JSON object')
  except OSError as error:
    raise cannot_be_read(path, error) from error
  except ValueError as error:
    raise UserError(
      f'{path} is neither what `benchmark --json` prints nor what `compare '
      f'--save` writes ({error}); make it anew.'
    ) from error
  return fields


def scored_on_mpii(run: Run) -> bool:
  """Whether these are PCKh of MPII's 2,958 validation people."""
  listed = mpii.validation_list()
  # Results did not always say who the people were.
  people = run.results.get('people_id', results_lib.people_id(*listed))
  return (
    run.skeleton.metric == 'pckh'
    and run.results['people'] == len(listed[0])
    and people == results_lib.people_id(*listed)
  )


def benchmarks(paths: Sequence[str]) -> str:
  """Compares what `benchmark --json` wrote, as ratios to the first file.

  Raises:
    UserError: a file is missing, damaged or measures something else.
  """
  results = []
  for path in paths:
    results.append(_read_json(path))
    try:
      what, _ = (results[-1][key] for key in ('what', 'machine'))
    except LookupError as error:
      raise UserError(
        f'{path} is not what `benchmark --json` prints: it lacks {error}.'
      ) from error
    if what != results[0]['what']:
      raise UserError(
        f'{paths[0]} measures {results[0]["what"]}, {path} {what}.'
      )
  letters = list(itertools.islice(_letters(), len(paths)))
  columns = [_numbers(result) for result in results]
  rows = {}
  for name, first in columns[0].items():
    values = [column.get(name) for column in columns]
    if any(value not in (None, first) for value in values):
      rows[name] = dict(zip(letters, values, strict=True)) | {
        f'{letter} / A': value / first if value is not None and first else None
        for letter, value in zip(letters[1:], values[1:], strict=True)
      }
  return '\n'.join(
    [
      *(
        f'{letter}: {path} on {result["machine"]}'
        for letter, path, result in zip(letters, paths, results, strict=True)
      ),
      'The machines differ: so may the times for that alone.'
      if any(result['machine'] != results[0]['machine'] for result in results)
      else 'The machines are alike.',
      '',
      *(tables.grid(rows, '.4g') if rows else ['All numbers are equal.']),
    ]
  )


def _letters() -> Iterator[str]:
  """A to Z, AA to ZZ, AAA and so on."""
  for length in itertools.count(1):
    for letters in itertools.product(string.ascii_uppercase, repeat=length):
      yield ''.join(letters)


def _numbers(values: Mapping, prefix: str = '') -> dict[str, float]:
  """The numbers of a benchmark by dotted name, less those of the machine."""
  numbers = {}
  for key, value in values.items():
    if isinstance(value, dict) and key != 'machine':
      numbers |= _numbers(value, f'{prefix}{key}.')
    elif isinstance(value, int | float) and not isinstance(value, bool):
      numbers[prefix + key] = value
  return numbers


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
    'config_differences': finished.differences(runs),
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

  Runs that differ in the seed alone are one bar, the mean over seeds, with a
  whisker of the standard deviation over seeds.

  Published rows are drawn where they are of the same convention and split
  and have a value for every group.
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
  values = {}  # of each seed, by column
  for name, group in groups.items():
    values[name] = [
      *([run.results['groups'][column] for run in group] for column in columns),
      comparison.totals(group, convention),
    ]
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

  Runs that differ in the seed alone are one line, the mean of them at the
  steps that all have. Where batch sizes differ, people seen take the place of
  steps, for a step of a larger batch has cost more.

  Losses of heatmaps with wider peaks are higher; where runs differ in that,
  their skill is drawn, the share of the all-zero prediction's loss removed.
  """
  metric = pck.create_metric(runs[0].skeleton)
  widths = {
    run.config['data.sigma'] / run.config['data.image_size'] for run in runs
  }
  labels = {
    'loss': 'Validation loss, mean squared error per heatmap pixel',
    'skill': 'Validation skill, 1 - loss / loss of all zeros',
    convention: f'Validation {metric.name()} {convention}, %',
  }
  del labels['skill' if len(widths) == 1 else 'loss']
  groups = comparison.by_seed(runs)
  by_people = len({run.config['batch_size'] for run in runs}) > 1
  title = 'Validation during training'
  if comparison.has_seeds(groups):
    title += ': means over seeds'
  return plots.curves(
    {
      label: {
        name: [
          (step * (group[0].config['batch_size'] if by_people else 1), value)
          for step, value in comparison.mean_validation(group, key)
        ]
        for name, group in groups.items()
      }
      for key, label in labels.items()
    },
    horizontal='people seen' if by_people else 'training step',
    title=title,
  )


if __name__ == '__main__':
  # Defined for the command alone: others have flags of the same names.
  flags.DEFINE_string('output', None, 'Folder to write to.')
  flags.DEFINE_string('save', None, 'Folder to write NAME.json of each run to.')
  flags.DEFINE_bool('published', False, "Others' published results as well.")
  flags.DEFINE_string('convention', 'all_joints', 'The total of the figures.')
  command.run(main)
