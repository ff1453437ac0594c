"""Runs compared: same convention, same people, everything on one page."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest

from hg_jax import compare
from hg_jax.annotations import mpii
from hg_jax.annotations.people import People
from hg_jax.base import config
from hg_jax.base.errors import UserError
from hg_jax.comparison import benchmarks, comparison, finished
from hg_jax.evaluation import results as results_lib
from hg_jax.metrics import pck
from hg_jax.pictures import plots

METRIC = pck.create_metric(mpii.SKELETON)
GROUPS = ('Head', 'Shoulder', 'Elbow', 'Wrist', 'Hip', 'Knee', 'Ankle')


def totals(all_joints):
  return dict(
    zip(METRIC.totals, (all_joints, all_joints - 1, 80.0, 70.0), strict=True)
  )


def validation(step, **changes):
  row = {'step': step, 'kind': 'valid', 'loss': 5e-4, 'skill': 0.3}
  return {**row, **totals(60.0 + step), **changes}


def write_run(folder, *, lines=None, results=None, settings=None):
  """A run of two validations in the form that `main` leaves behind."""
  folder.mkdir(parents=True)
  values = json.loads(config.to_json(config.Config()))
  values.update(settings or {})
  (folder / 'config.json').write_text(json.dumps(values))
  if lines is None:
    train = {'step': 5, 'kind': 'train', 'loss': 7e-4, 'skill': 0.0}
    lines = map(json.dumps, (train, validation(10), validation(20)))
  (folder / 'metrics.jsonl').write_text(''.join(line + '\n' for line in lines))
  found = {
    'step': 20,
    'split': 'valid',
    'people': 270,
    'totals': totals(80.0),
    'totals_at_0.1': totals(30.0),
    'groups': dict(zip(GROUPS, range(90, 83, -1), strict=True)),
    'auc': 55.0,
    'standard_error': dict.fromkeys(METRIC.totals, 0.25),
    'stacks': [{'totals': totals(70.0)}, {'totals': totals(80.0)}],
    **(results or {}),
  }
  (folder / 'results.json').write_text(json.dumps(found))
  return str(folder)


def run_command(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'hg_jax.compare', *map(str, arguments)],
    capture_output=True,
    text=True,
  )


def bars_of(figure):
  """The heights of a chart's bars by the series' name; tops of the axis."""
  return {
    bars.get_label(): [bar.get_y() + bar.get_height() for bar in bars]
    for bars in figure.axes[0].containers
    if hasattr(bars, 'patches')
  }


def test_command_writes_both_figures_and_both_tables(tmp_path):
  one = write_run(tmp_path / 'rmsprop8', settings={'batch_size': 8})
  two = write_run(tmp_path / 'adam16')
  output = tmp_path / 'new' / 'out'
  done = run_command(
    one, two, '--published', f'--output={output}', f'--save={tmp_path}/saved'
  )
  assert done.returncode == 0, done.stderr
  assert 'left out: they are PCKh on MPII' in done.stdout
  assert '## Published' not in (output / 'table.md').read_text()
  saved = sorted((tmp_path / 'saved').iterdir())
  assert [path.name for path in saved] == ['adam16.json', 'rmsprop8.json']
  assert {path.name for path in output.iterdir()} == {
    f'{name}.{suffix}'
    for name, suffix in (
      ('figure7', 'png'),
      ('figure7', 'svg'),
      ('figure8', 'png'),
      ('figure8', 'svg'),
      ('table', 'md'),
      ('table', 'json'),
    )
  }
  for name in ('figure7', 'figure8'):
    height, width, _ = cv2.imread(str(output / f'{name}.png')).shape
    assert height >= 700 and width >= 1500
    svg = xml.etree.ElementTree.parse(output / f'{name}.svg')
    text = ' '.join(svg.getroot().itertext())
    for label in ('rmsprop8', 'adam16', 'PCKh@0.5', '%'):
      assert label in text
  table = json.loads((output / 'table.json').read_text())
  assert table['config_differences'] == {'batch_size': [8, 16]}
  assert [row['name'] for row in table['runs']] == ['rmsprop8', 'adam16']


def test_one_run_makes_tables_and_figures(tmp_path):
  (run,) = finished.load([write_run(tmp_path / 'only')])
  page = comparison.markdown([run], [])
  assert '| only | 90.00 | 89.00 |' in page
  assert '80.00 ± 0.25' in page
  assert '## Settings that differ\n\nNone.' in page
  assert list(bars_of(compare.bars_by_joint([run], [], 'all_joints'))) == [
    'only'
  ]
  assert len(compare.curves_of_validation([run], 'standard').axes) == 2


def test_bars_show_the_groups_and_the_total_of_the_convention(tmp_path):
  (run,) = finished.load([write_run(tmp_path / 'run')])
  figure = compare.bars_by_joint([run], [], 'standard')
  assert bars_of(figure)['run'] == [90, 89, 88, 87, 86, 85, 84, 79]
  labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
  assert labels == [*GROUPS, 'Total\nstandard']


@pytest.mark.parametrize('convention', list(METRIC.totals))
def test_bars_never_mix_conventions_or_splits(tmp_path, convention):
  (run,) = finished.load([write_run(tmp_path / 'run')])
  published = finished.load_published()
  figure = compare.bars_by_joint([run], published, convention)
  totals_drawn = {name: bars[-1] for name, bars in bars_of(figure).items()}
  del totals_drawn['run']
  allowed = {
    row['name']: row['total']
    for row in published
    if row['convention'] == convention and row['split'] == 'valid'
  }
  assert totals_drawn == pytest.approx(
    {name: allowed[name] for name in totals_drawn}
  )
  assert bool(totals_drawn) == (convention != 'hard_joints')


def test_published_rows_name_source_convention_and_split():
  published = finished.load_published()
  conventions = {*METRIC.totals, 'official', 'own'}
  for row in published:
    assert row['name'] and row['source']
    assert row['convention'] in conventions
    assert row['split'] == (
      'test' if row['convention'] == 'official' else 'valid'
    )
    for number in ('total', *GROUPS):
      assert row[number] is None or 60 < row[number] < 100
  keys = [(row['name'], row['convention']) for row in published]
  assert len(set(keys)) == len(keys)


def test_published_rows_are_as_published():
  rows = {
    (row['name'], row['convention']): row for row in finished.load_published()
  }
  # The report's Table 1, its last row.
  wei = rows['Wei et al. 2016', 'official']
  assert [wei[group] for group in GROUPS] == [
    97.8, 95.0, 88.7, 84.0, 88.4, 82.8, 79.4,
  ]  # fmt: skip
  assert wei['total'] == 88.5
  # bearpaw/pytorch-pose's README, hg_s2_b1, last.
  last = rows['pytorch-pose, 2 stacks, last', 'joint_mean']
  assert [last[group] for group in GROUPS] == [
    95.80, 94.57, 88.12, 83.31, 86.24, 80.88, 77.44,
  ]  # fmt: skip
  assert last['total'] == 86.76


def test_table_keeps_the_published_digits(tmp_path):
  (run,) = finished.load([write_run(tmp_path / 'run')])
  page = comparison.markdown([run], finished.load_published())
  assert '| Wei et al. 2016 | official | test | 88.5 | 97.8 | 95.0 |' in page


def test_differences_are_by_dotted_name(tmp_path):
  model = json.loads(config.to_json(config.Config()))['model']
  one = write_run(tmp_path / 'a', settings={'model': {**model, 'stacks': 2}})
  two = write_run(tmp_path / 'b', settings={'batch_size': 8})
  assert comparison.setting_differences(finished.load([one, two])) == {
    'model.stacks': [2, 8],
    'batch_size': [16, 8],
  }


def test_curves_show_the_skill_where_peak_widths_differ(tmp_path):
  data = json.loads(config.to_json(config.Config()))['data']
  wide = write_run(tmp_path / 'wide', settings={'data': {**data, 'sigma': 2.0}})
  # Twice the side with twice the sigma has the same peaks.
  large = write_run(
    tmp_path / 'large',
    settings={'data': {**data, 'sigma': 2.0, 'image_size': 512}},
  )
  usual = write_run(tmp_path / 'usual')
  for paths, label in (((usual, large), 'loss'), ((usual, wide), 'skill')):
    figure = compare.curves_of_validation(finished.load(paths), 'all_joints')
    assert figure.axes[0].get_ylabel().startswith(f'Validation {label}')


def test_load_counts_a_repeated_step_once(tmp_path):
  lines = [json.dumps(validation(step)) for step in (10, 20, 10)]
  lines[-1] = json.dumps(validation(10, loss=0.25))
  path = write_run(tmp_path / 'run', lines=lines)
  with open(f'{path}/metrics.jsonl', 'a') as file:
    file.write('{"step": 30, "ki')  # killed while writing
  (run,) = finished.load([path])
  assert [row['step'] for row in run.validation] == [10, 20]
  assert run.validation[0]['loss'] == 0.25


def test_table_leaves_a_gap_for_unlabeled_joints(tmp_path):
  groups = {**dict.fromkeys(GROUPS, 90.0), 'Head': None}
  (run,) = finished.load(
    [write_run(tmp_path / 'a', results={'groups': groups})]
  )
  assert '| a |  | 90.00 |' in comparison.markdown([run], [])
  plots.save(
    compare.bars_by_joint([run], [], 'all_joints'), tmp_path / 'figure7'
  )


def test_runs_of_the_same_name_are_named_by_path(tmp_path):
  paths = [write_run(tmp_path / parent / 'run') for parent in 'ab']
  assert [run.name for run in finished.load(paths)] == paths


def damage(folder, name, text):
  (folder / name).write_text(text)


MISTAKES = {
  'no folder': (
    lambda run: run.rename(run.with_name('x')),
    'run is not a folder',
  ),
  'no results': (
    lambda run: (run / 'results.json').unlink(),
    'run has no results.json; evaluate',
  ),
  'no config': (
    lambda run: (run / 'config.json').unlink(),
    'run holds no run: .*config.json',
  ),
  'no metrics': (
    lambda run: (run / 'metrics.jsonl').unlink(),
    'run has no validation',
  ),
  'damaged line': (
    lambda run: damage(run, 'metrics.jsonl', '{"step": 1, "kind": ""}\n{"s\n'),
    'run has no validation',
  ),
  'no object': (
    lambda run: damage(run, 'metrics.jsonl', '3\n'),
    'run has no validation',
  ),
  'a key is missing': (
    lambda run: damage(run, 'metrics.jsonl', '{"kind": "valid"}\n'),
    'run has no validation',
  ),
  'binary': (
    lambda run: (run / 'results.json').write_bytes(b'\xff\xfe\x00'),
    'run/results.json is not JSON',
  ),
  'no file': (
    lambda run: [
      (run / 'results.json').unlink(),
      (run / 'results.json').mkdir(),
    ],
    'run/results.json cannot be read: Is a directory; mend that',
  ),
  'results of another version': (
    lambda run: damage(run, 'results.json', '{"step": 1, "split": "valid"}'),
    'run/results.json: expected an object with .*people',
  ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_load_refuses_a_damaged_run_in_one_line(tmp_path, mistake):
  spoil, message = MISTAKES[mistake]
  path = write_run(tmp_path / 'run')
  spoil(tmp_path / 'run')
  with pytest.raises(UserError, match=message) as error:
    finished.load([path])
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'results, message',
  [
    ({'people': 2958}, r'different people or joints \(people 270 and 2958\)'),
    ({'split': 'train'}, r'joints \(split valid and train\)'),
    ({'groups': {'Head': 90.0}}, r'\(groups Head, Shoulder, .* and Head\)'),
  ],
)
def test_load_refuses_runs_that_cannot_be_compared(tmp_path, results, message):
  one = write_run(tmp_path / 'one')
  two = write_run(tmp_path / 'two', results=results)
  with pytest.raises(UserError, match=message):
    finished.load([one, two])


def test_load_refuses_no_run_and_a_run_named_twice(tmp_path):
  run = write_run(tmp_path / 'run')
  with pytest.raises(UserError, match='at least one run'):
    finished.load([])
  with pytest.raises(UserError, match='named twice'):
    finished.load([run, run + '/../run'])


def test_write_refuses_an_output_that_is_a_file(tmp_path):
  loaded = finished.load([write_run(tmp_path / 'run')])
  with pytest.raises(UserError, match='config.json: File exists; mend'):
    compare.write(
      loaded, [], tmp_path / 'run' / 'config.json', convention='standard'
    )


def test_mistake_in_the_command_is_told_in_one_line(tmp_path):
  done = run_command(write_run(tmp_path / 'run'))
  assert done.returncode != 0
  assert re.fullmatch(r'error: .*--output=DIR\.\n', done.stderr), done.stderr


def with_metric(kind):
  """The config of a run whose skeleton is scored by this metric."""
  fields = dataclasses.replace(mpii.SKELETON, metric=kind).to_json()
  return {'skeleton': fields}


def test_load_refuses_runs_of_different_metrics(tmp_path):
  one = write_run(tmp_path / 'one')
  two = write_run(
    tmp_path / 'two',
    settings=with_metric('pck_box'),
    results={'totals_at_0.05': totals(30.0)},
  )
  with pytest.raises(UserError, match='one is scored by pckh, two by pck_box'):
    finished.load([one, two])


def test_load_refuses_other_people_of_equal_number(tmp_path):
  one = write_run(tmp_path / 'one', results={'people_id': 'a'})
  two = write_run(tmp_path / 'two', results={'people_id': 'b'})
  older = write_run(tmp_path / 'older')
  with pytest.raises(UserError, match='different people'):
    finished.load([one, two])
  assert len(finished.load([one, older])) == 2


def test_people_id_depends_on_the_people_and_not_on_their_order():
  people = np.array(['b', 'a', 'a']), np.array([2, 1, 1]), np.array([0, 0, 1])
  one = results_lib.people_id(*people)
  assert results_lib.people_id(*(column[::-1] for column in people)) == one
  assert results_lib.people_id(people[0], people[1], people[2] + 1) != one


def test_metric_is_named_in_figures_and_table(tmp_path):
  settings = with_metric('pck_torso')
  changes = {'totals_at_0.1': totals(30.0), 'oks': {'AP': 0.5, 'AR': None}}
  path = write_run(tmp_path / 'run', settings=settings, results=changes)
  (run,) = finished.load([path])
  bars = compare.bars_by_joint([run], [], 'all_joints')
  assert bars.axes[0].get_ylabel().startswith('PCK@0.2 torso, %')
  assert bars.axes[0].get_title(loc='left').startswith('PCK@0.2 torso by joint')
  curves = compare.curves_of_validation([run], 'all_joints')
  assert 'PCK@0.2 torso' in curves.axes[1].get_ylabel()
  page = comparison.markdown([run], [])
  assert '# PCK@0.2 torso: 270 people' in page and 'PCKh' not in page
  assert '| AP |' in page and '| 0.500 |' in page


@pytest.mark.parametrize(
  'people, metric, expected',
  [(2958, 'pckh', True), (270, 'pckh', False), (2958, 'pck_box', False)],
)
def test_published_rows_are_only_for_the_people_of_mpii(
  tmp_path, people, metric, expected
):
  listed = results_lib.people_id(*mpii.validation_list())
  changes = {'people': people, 'totals_at_0.05': totals(30.0)}
  for people_id in ({}, {'people_id': listed}, {'people_id': 'others'}):
    path = write_run(
      tmp_path / str(people_id.get('people_id')),
      settings=with_metric(metric),
      results=changes | people_id,
    )
    (run,) = finished.load([path])
    same = people_id != {'people_id': 'others'}
    assert compare.scored_on_mpii(run) == (expected and same)


def test_command_refuses_a_total_that_the_metric_lacks(tmp_path):
  path = write_run(tmp_path / 'run')
  done = run_command(path, f'--output={tmp_path}/out', '--convention=mean')
  assert done.returncode == 1
  assert 'not one of the totals of PCKh@0.5: all_joints' in done.stderr


def write_benchmark(path, **changes):
  result = {
    'what': 'step',
    'machine': {'processor': 'x', 'cores': 2},
    'step_ms': 200.0,
    'rates': {'images_per_second': 40},
    **changes,
  }
  path.write_text(json.dumps(result))
  return str(path)


def test_benchmarks_are_compared_by_ratios(tmp_path):
  one = write_benchmark(tmp_path / 'one.json', rounds=5)
  two = write_benchmark(
    tmp_path / 'two.json',
    rounds=5,
    step_ms=150.0,
    rates={'images_per_second': 50},
  )
  assert benchmarks.is_benchmark(one)
  text = benchmarks.table([one, two])
  lines = [line.split() for line in text.splitlines() if line]
  rows = {line[0]: line[1:] for line in lines}
  assert lines[3] == ['A', 'B', 'B', '/', 'A']
  assert rows['step_ms'] == ['200', '150', '0.75']
  assert rows['rates.images_per_second'] == ['40', '50', '1.25']
  assert 'rounds' not in rows and 'machines differ' not in text


def test_benchmarks_can_be_many(tmp_path):
  paths = [
    write_benchmark(tmp_path / f'{n}.json', step_ms=200.0 + n)
    for n in range(28)
  ]
  letters = [line.split(':')[0] for line in benchmarks.table(paths).split('\n')]
  for number, expected in ((0, 'A'), (25, 'Z'), (26, 'AA'), (27, 'AB')):
    assert letters[number] == expected


def test_benchmarks_of_different_machines_say_so(tmp_path):
  one = write_benchmark(tmp_path / 'one.json')
  two = write_benchmark(tmp_path / 'two.json', machine={'cores': 16})
  text = benchmarks.table([one, two])
  assert text.endswith('All numbers are equal.')
  assert 'The machines differ' in text and "{'cores': 16}" in text


@pytest.mark.parametrize(
  'text, message',
  [
    ('{"what": "input", "machine": {}}', 'one.json measures step, .*two.json'),
    ('{"what": "step"}', 'two.json is neither what `benchmark --json` prints'),
    ('nonsense', 'two.json is not JSON'),
    ('5', 'two.json: expected an object'),
  ],
)
def test_benchmarks_refuse_other_files(tmp_path, text, message):
  one = write_benchmark(tmp_path / 'one.json')
  (tmp_path / 'two.json').write_text(text)
  with pytest.raises(UserError, match=message):
    two = str(tmp_path / 'two.json')
    assert all(map(benchmarks.is_benchmark, [one, two]))
    benchmarks.table([one, two])


def test_a_json_that_cannot_be_opened_is_named(tmp_path):
  (tmp_path / 'one.json').mkdir()
  with pytest.raises(UserError, match='one.json cannot be read: Is a directo'):
    benchmarks.is_benchmark(str(tmp_path / 'one.json'))


def people_of(count):
  joints = np.zeros((count, 16, 2), np.float32)
  everything = np.ones((count, 16), bool)
  return People(
    image=np.array([f'{n % 7}.jpg' for n in range(count)]),
    center=joints[:, 0],
    side=np.ones(count, np.float32),
    joints=joints,
    labeled=everything,
    known=everything,
    visible=everything,
    reference=np.full(count, 10, np.float32),
    image_index=np.arange(count, dtype=np.int32) % 7,
    person_index=np.arange(count, dtype=np.int32),
  )


def write_scored(folder, people, wrong, **settings):
  """A run that has all joints of these rows of the people wrong."""
  predictions = people.joints.copy()
  predictions[wrong] += 100
  correct = METRIC.correct(predictions, people.joints, people.reference)
  counts = pck.count(
    predictions,
    people.joints,
    people.labeled,
    people.visible,
    people.reference,
    thresholds=METRIC.thresholds,
  )
  results = METRIC.summarize(counts)
  results |= {
    'people': len(people),
    'hits': results_lib.pack_hits(people, correct),
    'standard_error': dict.fromkeys(METRIC.totals, 1.0),
  }
  return write_run(folder, settings=settings, results=results)


def test_table_has_paired_differences(tmp_path):
  # 4 of 400 people are wrong in one run alone: a share of 0.01.
  people = people_of(400)
  one = write_scored(tmp_path / 'one', people, range(104))
  shuffled = np.random.default_rng(0).permutation(400)
  two = write_scored(
    tmp_path / 'two', people[shuffled], np.flatnonzero(shuffled < 100)
  )
  page = comparison.markdown(finished.load([one, two]), [])
  error = 100 * math.sqrt(0.01 * 0.99 / 399)
  assert '## Minus one, on the same people' in page
  assert f'| two | +1.00 ± {error:.2f} |' in page


def test_table_has_the_deviation_over_seeds(tmp_path):
  people = people_of(100)
  paths = [
    write_scored(tmp_path / f'a{seed}', people, range(wrong), seed=seed)
    for seed, wrong in ((1, 10), (2, 20), (3, 30))
  ]
  paths.append(write_scored(tmp_path / 'b', people, range(5), batch_size=8))
  page = comparison.markdown(finished.load(paths), [])
  assert '| a | 1, 2, 3 | 80.00 ± 10.00 |' in page
  assert '| b | 0 | 95.00 |' in page


@pytest.mark.parametrize(
  'names, expected',
  [
    (['rmsprop8_seed0', 'rmsprop8_seed1'], 'rmsprop8'),
    (['rmsprop8_seed10', 'rmsprop8_seed11'], 'rmsprop8'),
    (['runs/rmsprop8/seed0', 'runs/rmsprop8/seed1'], 'rmsprop8'),
    (['rmsprop8-0', 'rmsprop8-1'], 'rmsprop8'),
    (['a/rmsprop8'], 'a/rmsprop8'),
    (['seed0', 'seed1'], 'seed0, seed1'),
  ],
)
def test_groups_have_the_name_that_the_runs_share(tmp_path, names, expected):
  (run,) = finished.load([write_run(tmp_path / 'run')])
  runs = [
    dataclasses.replace(run, name=name, config=run.config | {'seed': seed})
    for seed, name in enumerate(names)
  ]
  assert comparison.by_seed(runs) == {expected: runs}


def test_a_group_has_each_seed_once(tmp_path):
  (run,) = finished.load([write_run(tmp_path / 'run')])
  runs = [
    dataclasses.replace(run, name=name, config=run.config | {'seed': seed})
    for name, seed in (('old0', 0), ('old1', 1), ('new1', 1), ('new0', 0))
  ]
  assert comparison.by_seed(runs) == {'old': runs[:2], 'new': runs[2:]}


def test_groups_never_share_a_name(tmp_path):
  (run,) = finished.load([write_run(tmp_path / 'run')])
  runs = [
    dataclasses.replace(
      run, name=name, config=run.config | {'seed': n % 2, 'batch_size': n // 2}
    )
    for n, name in enumerate(['a/x/seed0', 'a/x/seed1', 'b/x/seed0', 'b/x/1'])
  ]
  assert list(comparison.by_seed(runs)) == ['a/x', 'b/x']
  same = [dataclasses.replace(run, name=f'x{n}') for n, run in enumerate(runs)]
  assert list(comparison.by_seed(same)) == ['x0, x1', 'x2, x3']


def write_two_groups(folder):
  """Runs of 400 people: of a 80 and 84 % are right, of b 81, 83 and 88 %."""
  people = people_of(400)
  return [
    write_scored(
      folder / f'{name}_seed{seed}', people, range(wrong), seed=seed, **settings
    )
    for seed in (0, 1, 2)
    for name, settings, errors in (
      ('a', {'batch_size': 8}, (80, 64)),
      ('b', {}, (76, 68, 48)),
    )
    for wrong in errors[seed : seed + 1]
  ]


def test_differences_of_means_have_both_errors(tmp_path):
  page = comparison.markdown(finished.load(write_two_groups(tmp_path)), [])
  # Means of 82 and 84 %; variances over seeds of 8 and 13.
  seeds = math.sqrt(8 / 2 + 13 / 3)
  # How much more often a is wrong than b, by person; the mean is 0.02.
  moves = np.zeros(400)
  for wrong in (80, 64):
    moves[:wrong] += 1 / 2
  for wrong in (76, 68, 48):
    moves[:wrong] -= 1 / 3
  people = 100 * np.std(moves, ddof=1) / math.sqrt(400)
  assert '## Minus a, on the same people' in page
  assert f'| b | +2.00 ± {people:.2f} (people) ± {seeds:.2f} (seeds) |' in page
  assert '| setting | a | b |' in page
  assert '| `seed` | `0, 1` | `0, 1, 2` |' in page
  assert '| a_seed0 |' in page and '| b_seed2 |' in page


def test_difference_to_a_single_run_has_no_error_over_seeds(tmp_path):
  paths = write_two_groups(tmp_path)
  runs = finished.load([p for p in paths if 'a_seed1' not in p])
  page = comparison.markdown(runs, [])
  assert ' (people) |' in page and '(seeds) |' not in page


def test_figure_7_has_means_and_deviations_over_seeds(tmp_path):
  runs = finished.load(write_two_groups(tmp_path))
  figure = compare.bars_by_joint(runs, [], 'all_joints')
  heights = {name: bars[-1] for name, bars in bars_of(figure).items()}
  assert heights == pytest.approx({'a': 82, 'b': 84})
  assert 'means over seeds' in figure.axes[0].get_title(loc='left')
  segments = [
    bars.errorbar.lines[2][0].get_segments()[-1][:, 1]
    for bars in figure.axes[0].containers
    if hasattr(bars, 'patches')
  ]
  for (low, high), deviation in zip(segments, (8, 13), strict=True):
    assert (high - low) / 2 == pytest.approx(math.sqrt(deviation))


@pytest.mark.parametrize('deviation, start', [(2.0, 50), (9.0, 40), (40.0, 0)])
def test_axis_of_bars_includes_the_whiskers(deviation, start):
  figure = plots.bars(
    ['Head'],
    {'one': [60.0], 'two': [70.0]},
    {},
    deviations={'one': [deviation], 'two': [None]},
    title='',
    label='',
  )
  assert figure.axes[0].get_ylim()[0] == start


def test_seven_lines_differ_without_markers():
  panel = {f'{n}': [(1, n), (2, n)] for n in range(7)}
  figure = plots.curves({'': panel}, horizontal='', title='')
  looks = {
    (line.get_color(), str(line._dash_pattern)) for line in figure.axes[0].lines
  }
  assert len(looks) == 7


def test_figure_7_of_one_run_each_has_no_whiskers(tmp_path):
  runs = finished.load(
    [write_run(tmp_path / name, settings=s) for name, s in TWO_BATCHES.items()]
  )
  figure = compare.bars_by_joint(runs, [], 'all_joints')
  assert list(bars_of(figure)) == ['adam8', 'adam16']
  assert all(bars.errorbar is None for bars in figure.axes[0].containers)
  assert 'means' not in figure.axes[0].get_title(loc='left')


TWO_BATCHES = {'adam8': {'batch_size': 8}, 'adam16': {'batch_size': 16}}


def lines_of(axes):
  return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_figure_8_is_over_people_where_batches_differ(tmp_path):
  paths = [
    write_run(tmp_path / name, settings=settings)
    for name, settings in TWO_BATCHES.items()
  ]
  figure = compare.curves_of_validation(finished.load(paths), 'all_joints')
  assert figure.axes[1].get_xlabel() == 'people seen'
  assert lines_of(figure.axes[1]) == {
    'adam8': [[80, 70], [160, 80]],
    'adam16': [[160, 70], [320, 80]],
  }
  figure = compare.curves_of_validation(finished.load(paths[:1]), 'all_joints')
  assert figure.axes[1].get_xlabel() == 'training step'
  assert lines_of(figure.axes[1]) == {'adam8': [[10, 70], [20, 80]]}


def test_figure_8_has_the_mean_at_steps_that_all_runs_have(tmp_path):
  steps = {
    'x_seed0': [validation(10), validation(20, all_joints=70.0)],
    'x_seed1': [validation(20, all_joints=75.0), validation(30)],
    'y_seed0': [validation(10)],
    'y_seed1': [validation(20)],
  }
  paths = [
    write_run(
      tmp_path / name,
      lines=map(json.dumps, rows),
      settings={'seed': int(name[-1]), 'steps': 30 + (name[0] == 'y')},
    )
    for name, rows in steps.items()
  ]
  figure = compare.curves_of_validation(finished.load(paths), 'all_joints')
  assert lines_of(figure.axes[1]) == {'x': [[20, 72.5]], 'y': []}
  plots.save(figure, tmp_path / 'figure8')


def test_save_refuses_two_runs_with_one_file_name(tmp_path):
  paths = [
    write_run(tmp_path / name / 'seed0', settings=settings)
    for name, settings in TWO_BATCHES.items()
  ]
  with pytest.raises(UserError, match=r'adam8/seed0 and .* both be saved as'):
    finished.save(finished.load(paths), tmp_path / 'results')
  assert not (tmp_path / 'results').exists()


def test_saved_run_of_a_hundred_validations_is_small(tmp_path):
  people = people_of(2958)
  random = np.random.default_rng(0)
  wrong = random.random((2958, 16)) < 0.12
  path = write_scored(tmp_path / 'run', people, wrong)
  rows = [
    validation(step, **{'loss': random.random(), 'skill': random.random()})
    for step in range(100)
  ]
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  (tmp_path / 'run' / 'metrics.jsonl').write_text(text)
  (run,) = finished.load([path])
  (saved,) = finished.save([run], tmp_path / 'results')
  assert saved.stat().st_size < 40_000
  (loaded,) = finished.load([str(saved)])
  assert loaded == run


def test_saved_runs_make_the_same_files(tmp_path):
  runs = finished.load(write_two_groups(tmp_path))
  saved = list(map(str, finished.save(runs, tmp_path / 'results')))
  assert not any(map(benchmarks.is_benchmark, saved))
  outputs = [tmp_path / name for name in ('first', 'second')]
  compare.write(runs, [], outputs[0], convention='all_joints')
  compare.write(finished.load(saved), [], outputs[1], convention='all_joints')
  for name in ('table.md', 'table.json', 'figure7.svg', 'figure8.svg'):
    one, two = ((output / name).read_bytes() for output in outputs)
    assert one == two, name


def test_save_keeps_a_hundred_rows_and_the_last(tmp_path):
  lines = [json.dumps(validation(step)) for step in range(1, 502)]
  (run,) = finished.load([write_run(tmp_path / 'run', lines=lines)])
  (path,) = finished.save([run], tmp_path / 'results')
  (saved,) = finished.load([str(path)])
  steps = [row['step'] for row in saved.validation]
  assert len(steps) <= 100 and steps[-1] == 501
  assert set(np.diff(steps)) == {6}
  assert (saved.config, saved.results) == (run.config, run.results)


@pytest.mark.parametrize(
  'key, value, expected',
  [
    ('auc', 'lost', 'auc: expected a number'),
    ('people', 'many', 'people: expected a whole number'),
    ('step', None, 'step: expected a whole number'),
    ('split', 3, 'split: expected text'),
    ('groups', {'Head': 'high'}, r'groups\[...\]: expected a number'),
    ('totals_at_0.1', [1, 2], 'totals_at_0.1: expected an object'),
    ('standard_error', 0.5, 'standard_error: expected an object'),
    ('stacks', [3], r'stacks\[0\]: expected an object'),
    ('hits', {'below': 'AA=='}, 'cannot be read .hits: '),
    ('oks', {'AP': 'high'}, r'oks\[...\]: expected a number'),
  ],
)
def test_load_says_where_results_are_of_another_form(
  key, value, expected, tmp_path
):
  (run,) = finished.load([write_run(tmp_path / 'whole')])
  (saved,) = finished.save([run], tmp_path)
  fields = json.loads(saved.read_text())
  fields['results'][key] = value
  saved.write_text(json.dumps(fields))
  damaged = write_run(tmp_path / 'run', results={key: value})
  for path in (f'{damaged}/results.json', str(saved)):
    with pytest.raises(UserError, match=expected) as error:
      finished.load([path.removesuffix('/results.json')])
    assert str(error.value).startswith(path) and '\n' not in str(error.value)


def test_load_refuses_results_that_are_a_list_of_their_names(tmp_path):
  path = write_run(tmp_path / 'run')
  names = list(json.loads((tmp_path / 'run' / 'results.json').read_text()))
  (tmp_path / 'run' / 'results.json').write_text(json.dumps(names))
  with pytest.raises(UserError, match='results.json: expected an object'):
    finished.load([path])


@pytest.mark.parametrize(
  'changes',
  [
    {'auc': None},
    {'auc': float('nan')},
    {'totals': {'all_joints': 80.0, 'standard': None}},
    {'totals_at_0.1': {}},
    {'standard_error': dict.fromkeys(METRIC.totals, float('nan'))},
    {'oks': {'AP': None, 'AR': 0.5}},
    {'oks_missing': 'pycocotools is not installed'},
    {'stacks': [{'totals': {'standard': 70.0}}, {'totals': totals(80.0)}]},
  ],
)
def test_files_are_written_without_some_of_the_numbers(changes, tmp_path):
  paths = [
    write_run(tmp_path / 'whole'),
    write_run(tmp_path / 'a_seed0', results=changes, settings={'steps': 9}),
    write_run(
      tmp_path / 'a_seed1', settings={'steps': 9, 'seed': 1}, results=changes
    ),
  ]
  compare.write(finished.load(paths), [], tmp_path, convention='standard')
  page = (tmp_path / 'table.md').read_text()
  assert '| a_seed0 | 90.00 |' in page and 'nan' not in page


def test_validation_without_a_loss_is_a_gap_in_its_curve(tmp_path):
  lines = ['{"step": 1, "kind": "valid"}', json.dumps(validation(2))]
  (run,) = finished.load([write_run(tmp_path / 'run', lines=lines)])
  assert comparison.mean_validation([run], 'loss') == [(1, None), (2, 5e-4)]
  figure = compare.curves_of_validation([run], 'all_joints')
  plots.save(figure, tmp_path / 'figure8')


def test_committed_runs_make_the_committed_tables(tmp_path):
  folder = Path(__file__).parents[1] / 'results' / 'experiments'
  names = json.loads((folder / 'table.json').read_text())['runs']
  runs = finished.load([f'{folder / run["name"]}.json' for run in names])
  compare.write(runs, [], tmp_path, convention='all_joints')
  for name in ('table.md', 'table.json'):
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_run_saved_before_a_setting_has_its_default(tmp_path):
  (run,) = finished.load([write_run(tmp_path / 'run')])
  (path,) = finished.save([run], tmp_path)
  fields = json.loads(path.read_text())
  del fields['config']['ema_decay']
  path.write_text(json.dumps(fields))
  (saved,) = finished.load([str(path)])
  assert saved.config == run.config


def test_load_refuses_a_damaged_saved_run(tmp_path):
  (tmp_path / 'run.json').write_text('{"validation": []}')
  with pytest.raises(
    UserError, match='run.json: expected|run.json: validation'
  ):
    finished.load([str(tmp_path / 'run.json')])
  (tmp_path / 'folder.json').mkdir()
  with pytest.raises(UserError, match='folder.json cannot be read: Is a dir'):
    finished.load([str(tmp_path / 'folder.json')])


def test_a_run_can_have_any_name(tmp_path):
  names = os.fsdecode(b'\xff'), r'$\x$'
  paths = [write_run(tmp_path / name) for name in names]
  compare.write(finished.load(paths), [], tmp_path, convention='all_joints')
  table = (tmp_path / 'table.md').read_bytes()
  assert all(os.fsencode(name) in table for name in names)
