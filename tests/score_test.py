"""Published files of predictions get the scores published for them.

SPEC is the project's collection of facts; its section 6 has what the published
predictions of bearpaw/pytorch-pose and of Tompson et al. score, computed
independently.
"""

import dataclasses
import json
import math
import os
import subprocess
import sys

import h5py
import matplotlib.image
import numpy as np
import pytest
import scipy.io

from hg_jax import score
from hg_jax.annotations import mpii
from hg_jax.annotations.people import People
from hg_jax.base.errors import UserError
from hg_jax.evaluation import predictions as prediction_files
from hg_jax.input import records
from hg_jax.metrics import pck

S1, S2, TOMPSON = 'bearpaw-hg_s1_b1.mat', 'bearpaw-hg_s2_b1.mat', 'tompson.h5'
COLUMNS = (
  'head_top neck thorax pelvis Shoulder Elbow Wrist Hip Knee Ankle'
).split()
# SPEC 6, with valid.h5 and <; Tompson's predictions lack thorax and pelvis.
GROUPS = {
  S1: '95.05 97.58 97.75 89.47 93.61 85.53 79.56 84.51 78.28 73.41',
  S2: '95.84 97.65 97.78 90.41 94.57 88.12 83.31 86.24 80.88 77.47',
  TOMPSON: '95.50 97.68 0 0 92.71 83.36 76.73 81.93 73.32 65.40',
}
# all_joints, standard, mean of the 10 hard joints. SPEC has one decimal of
# Tompson's all_joints, because two of the sixteen joints are missing.
TOTALS = {
  S1: (86.207, 85.082, 80.257),
  S2: (88.198, 87.301, 83.204),
  TOMPSON: (71.5, 82.315, 76.15),
}
# With gt_valid.mat: standard, joint_mean, mean of the 7 groups, head top.
OFFICIAL = {
  S1: (85.085, 84.461, 84.285, 95.12),
  S2: (87.299, 86.757, 86.624, 95.80),
  TOMPSON: (82.337, 81.458, 81.307, 95.60),
}
ROUNDING = 0.005
METRIC = pck.create_metric(mpii.SKELETON)


@pytest.fixture(scope='module')
def people(mpii_data) -> People:
  return mpii.load_evaluation(mpii_data / 'annot' / 'valid.h5')


@pytest.fixture(scope='module')
def official(mpii_data) -> People:
  return mpii.load_evaluation(mpii_data / 'annot' / 'gt_valid.mat')


@pytest.fixture(scope='module')
def published(mpii_data):
  return mpii_data / 'reference_predictions'


@pytest.fixture
def few() -> People:
  """Three made-up people, rows of the standard order as in a small split."""
  rng = np.random.default_rng(0)
  labeled = np.ones((3, 16), bool)
  return People(
    image=np.array(['a.jpg', 'a.jpg', 'b.jpg']),
    center=np.zeros((3, 2), np.float32),
    side=np.full(3, 100, np.float32),
    joints=rng.uniform(1, 200, (3, 16, 2)).astype(np.float32),
    labeled=labeled,
    known=np.ones_like(labeled),
    visible=labeled,
    reference=np.full(3, 10, np.float32),
    image_index=np.array([4, 4, 9], np.int32),
    person_index=np.array([0, 1, 0], np.int32),
  )


def write_h5(path, **columns):
  with h5py.File(path, 'w') as file:
    for name, column in columns.items():
      if np.asarray(column).dtype.kind == 'U':
        file.create_dataset(
          name, data=column.tolist(), dtype=h5py.string_dtype()
        )
      else:
        file[name] = column
  return path


def write_ours(path, people, rows, **changed):
  """The form of `predictions.h5`, with the truth as the prediction."""
  part = people[rows]
  columns = {
    'joints': part.joints,
    'score': np.ones(part.labeled.shape, np.float32),
    'image': part.image,
    'image_index': part.image_index,
    'person_index': part.person_index,
  }
  return write_h5(path, **columns | changed)


def slow_all_joints(predictions, people):
  """PCKh@0.5 of the 16 joints, by a loop."""
  found = [
    math.dist(predictions[p, k], people.joints[p, k])
    < 0.5 * people.reference[p]
    for p, k in np.argwhere(people.labeled)
  ]
  return 100 * sum(found) / len(found)


def run(*args):
  return subprocess.run(
    [sys.executable, '-m', 'hg_jax.score', *map(str, args)],
    capture_output=True,
    text=True,
  )


def truth_of(people):
  return score.Truth(name='people', people=people, skeleton=mpii.SKELETON)


def load(path, people):
  return prediction_files.load(path, people, mpii.SKELETON)


def scored(path, people):
  return score.summarize(load(path, people), truth_of(people))


@pytest.mark.parametrize('file', [S1, S2, TOMPSON])
def test_score_of_published_predictions_is_as_in_spec(
  file, people, official, published
):
  result = scored(published / file, people)
  values = result['joints'] | result['groups']
  columns = [values[name] for name in COLUMNS]
  np.testing.assert_allclose(
    columns, [float(v) for v in GROUPS[file].split()], rtol=0, atol=ROUNDING
  )
  hard = [
    result['joints'][mpii.SKELETON.joints[k]]
    for k in METRIC.totals['hard_joints'].parts[0]
  ]
  np.testing.assert_allclose(
    (
      result['totals']['all_joints'],
      result['totals']['standard'],
      np.mean(hard),
    ),
    TOTALS[file],
    rtol=0,
    atol=ROUNDING,
  )
  result = scored(published / file, official)
  np.testing.assert_allclose(
    (
      result['totals']['standard'],
      result['totals']['joint_mean'],
      np.mean(list(result['groups'].values())),
      result['groups']['Head'],
    ),
    OFFICIAL[file],
    rtol=0,
    atol=ROUNDING,
  )


@pytest.mark.parametrize(
  'file, visible, occluded', [(S1, 91.75, 67.80), (S2, 92.86, 72.74)]
)
def test_score_by_visibility_is_as_in_spec(
  file, visible, occluded, people, published
):
  result = scored(published / file, people)
  assert result['totals_visible']['all_joints'] == pytest.approx(
    visible, abs=ROUNDING
  )
  assert result['totals_occluded']['all_joints'] == pytest.approx(
    occluded, abs=ROUNDING
  )


def test_score_equals_the_row_of_pytorch_pose(official, published):
  result = scored(published / S2, official)
  row = [*result['groups'].values(), result['totals']['joint_mean']]
  assert ' '.join(f'{value:.2f}' for value in row) == (
    '95.80 94.57 88.12 83.31 86.24 80.88 77.44 86.76'
  )


def test_counts_of_labeled_joints_are_as_in_spec(people, published):
  joints = load(published / S1, people).joints
  counts = pck.count(
    joints,
    people.joints,
    people.labeled,
    people.visible,
    people.reference,
    thresholds=[0.5],
  )
  visible, labeled = counts.labeled[0], counts.labeled.sum(axis=0)
  groups = {
    'Ankle': (4234, 3177),
    'Knee': (4963, 3854),
    'Hip': (5777, 4206),
    'Wrist': (5837, 4395),
    'Elbow': (5867, 4590),
    'Shoulder': (5888, 4600),
    'Head': (2931, 2931),
  }
  for name, expected in groups.items():
    joints = list(mpii.SKELETON.groups[name])
    assert (labeled[joints].sum(), visible[joints].sum()) == expected, name
  assert labeled[[6, 7, 8]].tolist() == [2878, 2932, 2932]
  assert visible[[6, 7, 8]].tolist() == [1620, 1691, 2932]
  assert (labeled.sum(), visible.sum()) == (44239, 33996)


def test_standard_errors_are_as_in_spec(people, published):
  files = [load(published / name, people) for name in (S1, S2)]
  error = score.summarize(files[1], truth_of(people))['standard_error'][
    'all_joints'
  ]
  change = score.difference(*files, truth_of(people))
  assert error == pytest.approx(0.30, abs=0.02)
  assert change['standard_error']['all_joints'] == pytest.approx(0.18, abs=0.02)
  assert change['totals']['all_joints'] == pytest.approx(
    88.198 - 86.207, abs=2 * ROUNDING
  )


@pytest.mark.parametrize('change', ['people', 'joints', 'shift'])
def test_score_of_a_changed_file_equals_a_loop(
  change, people, published, tmp_path
):
  predictions = scipy.io.loadmat(published / S2)['preds']
  if change == 'people':
    predictions[[3, 2000]] = predictions[[2000, 3]]
  elif change == 'joints':
    predictions[:, [0, 5]] = predictions[:, [5, 0]]
  else:
    predictions += people.side[:, None, None] / 128
  path = write_h5(tmp_path / 'p.h5', preds=predictions)
  total = scored(path, people)['totals']['all_joints']
  assert total == round(slow_all_joints(predictions, people), 4)
  assert abs(total - 88.198) > ROUNDING


def test_load_matches_people_in_any_order(
  people, mpii_data, published, tmp_path
):
  # From the data's README: 89.66 on the 270 people whose images exist.
  rows = [
    row
    for row, image in enumerate(people.image)
    if (mpii_data / 'images' / image).is_file()
  ]
  rows = np.random.default_rng(0).permutation(rows)
  predictions = scipy.io.loadmat(published / S2)['preds'][rows]
  path = write_ours(tmp_path / 'p.h5', people, rows, joints=predictions)
  result = run(
    path, published / S2, f'--annotations={mpii_data}/annot/valid.h5'
  )
  assert not result.stderr
  assert '270 of 2,958 people' in result.stdout
  total = scored(path, people)['totals']['standard']
  assert total == pytest.approx(89.66, abs=ROUNDING)
  # On these people the two files are the same.
  change = score.difference(
    load(published / S2, people), load(path, people), truth_of(people)
  )
  assert change['people'] == 270
  assert set(change['totals'].values()) == {0}
  assert set(change['standard_error'].values()) == {0}


def test_json_is_a_list_with_an_object_per_file(mpii_data, published):
  truth = f'--annotations={mpii_data}/annot/valid.h5'
  result = run(published / S1, published / S2, truth, '--json')
  assert result.returncode == 0 and not result.stderr
  first, second = json.loads(result.stdout)
  assert (first['file'], first['people']) == (str(published / S1), 2958)
  for name in ('totals', 'totals_at_0.1', 'standard_error'):
    assert list(first[name]) == list(METRIC.totals)
  assert list(first['groups']) == list(mpii.SKELETON.groups)
  assert 0 < first['auc'] < 100
  assert second['difference']['from'] == first['file']


def test_plot_of_more_files_than_colors(few, tmp_path):
  files = [
    load(write_ours(tmp_path / f'${n}$.h5', few, [0, 1, 2]), few)
    for n in range(6)
  ]
  score.plot(files, truth_of(few), tmp_path / 'curves.png')
  height, width, _ = matplotlib.image.imread(tmp_path / 'curves.png').shape
  assert width > height > 500


@pytest.mark.parametrize('path', ['nowhere/curves.png', 'curves.xyz', 'curves'])
def test_plot_that_cannot_be_written_is_refused(path, few, tmp_path):
  file = load(write_ours(tmp_path / 'p.h5', few, [0, 1, 2]), few)
  with pytest.raises(UserError, match='is not a picture; name it|No such file'):
    score.plot([file], truth_of(few), tmp_path / path)
  assert [each.name for each in tmp_path.iterdir()] == ['p.h5']


def test_names_that_are_not_utf8_are_printed_and_plotted(prepared, tmp_path):
  people = records.read(prepared, 'valid').people
  ones = np.ones(people.labeled.shape, np.float32)
  prediction_files.write(tmp_path / 'p.h5', people, people.joints, ones)
  path = os.fsencode(tmp_path) + b'/\xff.h5'
  os.rename(tmp_path / 'p.h5', path)
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'hg_jax.score', path),
      *(f'--annotations={prepared}', f'--plot={tmp_path / "plot.png"}'),
    ],
    capture_output=True,
    env=os.environ | {'PYTHONIOENCODING': 'utf-8:strict'},
  )
  assert done.returncode == 0 and not done.stderr
  assert path.replace(b'\xff', rb'\udcff') in done.stdout
  assert (tmp_path / 'plot.png').stat().st_size > 1000


def test_load_reads_every_layout(few, tmp_path):
  predictions = few.joints
  write_h5(tmp_path / 'a.h5', preds=predictions)
  write_h5(tmp_path / 'b.h5', preds=predictions.T)
  scipy.io.savemat(tmp_path / 'c.mat', {'preds': predictions.astype(float)})
  write_h5(tmp_path / 'd.mat', preds=predictions.T)  # MATLAB's -v7.3
  write_ours(tmp_path / 'e.h5', few, [2, 0, 1])
  for path in sorted(tmp_path.iterdir()):
    file = load(path, few)
    np.testing.assert_array_equal(file.joints, predictions, path.name)
    assert set(scored(path, few)['totals'].values()) == {100}, path.name


@pytest.mark.parametrize(
  'name', ['\u00e9t\u00e9/\u6f22\u5b57.jpg', os.fsdecode(b'\xff.jpg')]
)
def test_load_reads_what_write_wrote_whatever_the_image_names(
  name, few, tmp_path
):
  people = dataclasses.replace(few, image=np.array([name] * len(few)))
  score = np.linspace(0, 1, 48, dtype=np.float32).reshape(3, 16)
  prediction_files.write(tmp_path / 'p.h5', people, few.joints, score)
  file = prediction_files.load(tmp_path / 'p.h5', people, mpii.SKELETON)
  np.testing.assert_array_equal(file.joints, few.joints)
  np.testing.assert_array_equal(file.score, score)


def with_one_at(x, joints):
  joints = joints.astype(np.float64)
  joints[1, 4, 0] = x
  return joints


MISTAKES = {
  'scores of another shape': (
    lambda path, few: write_ours(path, few, [0, 2], score=np.ones((2, 3))),
    r'has score of shape \(2, 3\) .* numbers of shape \(2, 16\)',
  ),
  'scores that are text': (
    lambda path, few: write_ours(
      path, few, [0, 2], score=np.full((2, 16), b'1')
    ),
    'score of shape .* must be numbers',
  ),
  'scores that are not finite': (
    lambda path, few: write_h5(
      path, preds=few.joints, score=np.full((3, 16), np.nan)
    ),
    'has a `score` that is not a number',
  ),
  'of another shape': (
    lambda path, few: write_h5(path, preds=few.joints[:2]),
    r'joints of shape \(2, 16, 2\) .* for 3 people they must be numbers of '
    r'shape \(3, 16, 2\) or \(2, 16, 3\)',
  ),
  'scores alone': (
    lambda path, few: write_h5(path, score=np.ones(3)),
    'neither `preds` nor',
  ),
  'text': (
    lambda path, few: write_h5(path, preds=np.full((3, 16, 2), b'1.0')),
    'type .S3; for 3 people they must be numbers',
  ),
  'a folder in the file': (
    lambda path, few: write_h5(path, **{'preds/inner': np.ones(3)}),
    'cannot be read',
  ),
  'not a number': (
    lambda path, few: write_h5(path, preds=with_one_at(np.nan, few.joints)),
    r'l_knee of person 1 \(a.jpg\) at \(nan, ',
  ),
  'far from every image': (
    lambda path, few: write_h5(path, preds=with_one_at(1e30, few.joints)),
    r'l_knee of person 1 \(a.jpg\) at \(1e\+30, ',
  ),
  'not a number in ours': (
    lambda path, few: write_ours(
      path, few, [2, 1], joints=with_one_at(np.nan, few.joints[[2, 1]])
    ),
    r'l_knee of person 1 \(a.jpg\) at \(nan, ',
  ),
  'other people': (
    lambda path, few: write_ours(
      path, few, [0, 1], person_index=np.array([0, 7])
    ),
    r'has a.jpg \(image 4, person 7\), who is not among the 3',
  ),
  'other images': (
    lambda path, few: write_ours(path, few, [0], image=np.array(['z.jpg'])),
    'has z.jpg',
  ),
  'a person twice': (
    lambda path, few: write_ours(path, few, [0, 2, 0]),
    r'a.jpg \(image 4, person 0\) more than once',
  ),
  'columns of unequal length': (
    lambda path, few: write_ours(path, few, [0, 2], joints=few.joints),
    r'joints of shape \(3, 16, 2\) .* for 2 people they must be numbers',
  ),
  'nobody': (
    lambda path, few: write_ours(path, few, np.arange(0)),
    'has no people',
  ),
  'garbage': (
    lambda path, few: path.write_bytes(b'\x93nonsense'),
    'cannot be read',
  ),
  'empty': (lambda path, few: path.write_bytes(b''), 'cannot be read'),
  'absent': (lambda path, few: None, 'there is no file'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_load_refuses_other_files_in_one_line(mistake, few, tmp_path):
  write, message = MISTAKES[mistake]
  write(tmp_path / 'p.h5', few)
  with pytest.raises(UserError, match=message) as caught:
    load(tmp_path / 'p.h5', few)
  assert 'p.h5' in str(caught.value) and '\n' not in str(caught.value)


def test_load_refuses_a_truncated_file(few, tmp_path):
  for name in ('p.h5', 'p.mat'):
    path = tmp_path / name
    if name == 'p.h5':
      write_h5(path, preds=few.joints)
    else:
      scipy.io.savemat(path, {'preds': few.joints}, do_compression=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UserError, match='cannot be read|neither'):
      load(path, few)


def test_difference_needs_common_people(few, tmp_path):
  files = [
    load(write_ours(tmp_path / f'{rows[0]}.h5', few, rows), few)
    for rows in ([0, 1], [2])
  ]
  with pytest.raises(UserError, match='nobody in common'):
    score.difference(*files, truth_of(few))
  with pytest.raises(UserError, match='nobody in common'):
    score.in_common(files)


def test_files_in_common_are_scored_on_the_same_people(few, tmp_path):
  wrong = few.joints[[0, 1]] + [[[0, 0]], [[1000, 0]]]
  files = [
    load(write_ours(tmp_path / 'all.h5', few, [0, 1, 2]), few),
    load(write_ours(tmp_path / 'two.h5', few, [0, 1], joints=wrong), few),
    load(write_ours(tmp_path / 'others.h5', few, [1, 2]), few),
  ]
  results = [
    score.summarize(file, truth_of(few)) for file in score.in_common(files)
  ]
  assert [result['people'] for result in results] == [1, 1, 1]
  assert [r['totals']['all_joints'] for r in results] == [100, 0, 100]


@pytest.mark.parametrize(
  'arguments, message',
  [
    ([], 'no file of predictions'),
    (['p.h5'], '--annotations is missing'),
    (['p.h5', '--annotations=absent.h5'], 'absent.h5 does not exist'),
    (['p.h5', '--annotations=a.h5', '--split=test'], '--split is of a folder'),
    (
      ['p.h5', '--annotations=a.h5', '--metric=pck_box'],
      '--metric is for COCO',
    ),
    (
      ['p.h5', '--annotations=a.h5', '--category=fly'],
      '--category is for COCO',
    ),
    (['r.json', 'p.h5', '--annotations=a.json'], 'score them separately'),
    (['r.json', '--annotations=a.json', '--plot=p.png'], '--plot and --common'),
    (['r.json', '--annotations=a.json', '--common'], '--plot and --common'),
    (['p.h5', '--anotations=a.h5'], "Unknown command line flag 'anotations'"),
  ],
)
def test_mistake_in_the_command_is_told_in_one_line(arguments, message):
  result = run(*arguments)
  assert result.returncode == 1 and not result.stdout
  assert result.stderr.startswith('error: ') and message in result.stderr
  assert result.stderr.count('\n') == 1


def test_numbers_are_printed_if_the_plot_cannot_be_written(prepared, tmp_path):
  people = records.read(prepared, 'valid').people
  ones = np.ones(people.labeled.shape, np.float32)
  path = tmp_path / 'predictions.h5'
  prediction_files.write(path, people, people.joints, ones)
  plot = f'--plot={tmp_path / "absent" / "plot.png"}'
  done = run(path, f'--annotations={prepared}', '--json', plot)
  assert done.returncode == 1 and done.stderr.startswith('error: ')
  assert json.loads(done.stdout)[0]['totals']['all_joints'] == 100


def test_settings_of_a_coco_file_are_not_for_prepared_people(prepared):
  with pytest.raises(UserError, match='--metric is for COCO keypoints JSON'):
    score.load_truth(prepared, 'valid', metric='pck_box')


def test_score_of_our_predictions_for_our_prepared_people(prepared, tmp_path):
  valid = records.read(prepared, 'valid')
  path = tmp_path / 'predictions.h5'
  predictions = valid.people.joints.copy()
  predictions[0] += 1000
  ones = np.ones(predictions.shape[:2], np.float32)
  prediction_files.write(path, valid.people, predictions, ones)
  done = run(path, f'--annotations={prepared}', '--json')
  assert not done.stderr
  (result,) = json.loads(done.stdout)
  labeled = valid.people.labeled
  expected = 100 * (1 - labeled[0].sum() / labeled.sum())
  assert result['totals']['all_joints'] == round(float(expected), 4)
  done = run(path, f'--annotations={prepared}', '--split=none')
  assert 'has no split' in done.stderr and done.stderr.count('\n') == 1


def coco_file(path, names=('nose', 'tip', 'tail')):
  """Two images with a thing each, of which a joint is hidden, one unlabeled."""
  contents = {
    'images': [
      {'id': 3, 'file_name': 'a.jpg'},
      {'id': 5, 'file_name': 'b.jpg'},
    ],
    'categories': [{'id': 2, 'name': 'fly', 'keypoints': list(names)}],
    'annotations': [
      {
        'image_id': image,
        'category_id': 2,
        'keypoints': [10, 20, 2, 60, 20, 1, 90, 90, 2 * labeled],
        'bbox': [0, 0, 100, 80],
        'area': 6000,
      }
      for image, labeled in ((3, True), (5, False))
    ],
  }
  path.write_text(json.dumps(contents))
  return contents


def fly_results(contents, shift=0):
  """COCO results with all first joints off by px."""
  return [
    {
      'image_id': person['image_id'],
      'category_id': 2,
      'keypoints': [10 + shift, *person['keypoints'][1:]],
      'score': 0.5,
    }
    for person in contents['annotations']
  ]


def test_score_of_coco_results_by_hand(tmp_path):
  pytest.importorskip('pycocotools')
  contents = coco_file(tmp_path / 'flies.json')
  perfect, shifted = tmp_path / 'perfect.json', tmp_path / 'shifted.json'
  perfect.write_text(json.dumps(fly_results(contents)))
  # A similarity of 0.11 with a sigma of 0.05; the other joints have 1: 0.703 of
  # three and 0.555 of two labeled joints.
  shift = 0.1 * math.sqrt(-2 * 6000 * math.log(0.11))
  shifted.write_text(json.dumps(fly_results(contents, shift)))
  truth = f'--annotations={tmp_path / "flies.json"}'
  done = run(perfect, shifted, truth, '--json')
  assert not done.stderr
  first, second = json.loads(done.stdout)
  assert first['oks']['AP'] == first['oks']['AR'] == 1
  # Recall at .5, .55 is 1, up to .7 a half, and then 0.
  assert second['oks']['AR'] == pytest.approx((2 + 3 * 0.5) / 10)
  assert 'a sigma of 0.05 for every joint' in run(perfect, truth).stdout


def test_score_of_our_predictions_for_a_coco_file(tmp_path):
  pytest.importorskip('pycocotools')
  contents = coco_file(tmp_path / 'flies.json')
  truth = score.load_truth(tmp_path / 'flies.json', 'valid')
  joints = truth.people.joints.copy()
  joints[0, 0, 0] += 10  # px: a tenth of the box, exactly the radius
  path = tmp_path / 'predictions.h5'
  ones = np.ones(joints.shape[:2], np.float32)
  prediction_files.write(path, truth.people, joints, ones)
  file = prediction_files.load(path, truth.people, truth.skeleton)
  result = score.summarize(file, truth)
  assert result['metric'] == 'pck_box' and result['people'] == 2
  assert result['totals'] == {
    'all_joints': 80,  # 4 of 5
    'joint_mean': round((50 + 100 + 100) / 3, 4),
  }
  similarity = math.exp(-(10**2) / (2 * 6000 * 0.1**2))
  assert similarity < 0.5  # (2 + 0.43) / 3 = 0.81, over 7 of the 10
  assert result['oks']['AR'] == pytest.approx((7 * 2 + 3) / 20)
  text = score.report([result], truth)
  assert 'PCK@0.1 box' in text and 'PCKh' not in text
  del contents['images'][0]
  (tmp_path / 'flies.json').write_text(json.dumps(contents))
  assert 'other images' in score.summarize(file, truth)['oks_missing']


def test_score_counts_people_who_cannot_be_measured(few, tmp_path):
  people = dataclasses.replace(few, reference=np.array([10, 0, 10], np.float32))
  truth = truth_of(people)
  path = write_ours(tmp_path / 'p.h5', few, [0, 1, 2])
  result = score.summarize(load(path, people), truth)
  assert (result['people'], result['unscored']) == (3, 1)
  assert 'Not counted: 1 people' in score.report([result], truth)


def test_score_by_torso_lengths_has_the_pcp(few, tmp_path):
  torso = dataclasses.replace(mpii.SKELETON, metric='pck_torso')
  truth = score.Truth(name='people', people=few, skeleton=torso)
  path = write_ours(tmp_path / 'p.h5', few, [0, 1, 2])
  file = prediction_files.load(path, few, torso)
  result = score.summarize(file, truth)
  assert result['pcp'] == 100 and set(result['totals'].values()) == {100}
  assert 'PCP' in score.report([result], truth)


@pytest.mark.parametrize(
  'text, message',
  [
    ('{"a": 1}', 'results.json: expected a list'),
    ('[{"image_id": 3}]', r'results.json: \[0\]: expected an object with'),
    ('nonsense', 'results.json is not JSON'),
  ],
)
def test_score_refuses_other_json_in_one_line(text, message, tmp_path):
  pytest.importorskip('pycocotools')
  coco_file(tmp_path / 'flies.json')
  truth = score.load_truth(tmp_path / 'flies.json', 'valid')
  (tmp_path / 'results.json').write_text(text)
  with pytest.raises(UserError, match=message) as error:
    score.summarize_coco(str(tmp_path / 'results.json'), truth)
  assert 'results.json' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
  'change, message',
  [
    ({'category_id': 99}, 'no results of category 2, .* but of 99'),
    ({'image_id': 4}, 'result 0 is of image 4, which'),
    ({'image_id': None}, r'\[0\].image_id: expected'),
    ({'keypoints': [1, 2, 1]}, 'result 0 must have 9 numbers'),
    ({'keypoints': ['a'] * 9}, r'\[0\].keypoints\[0\]: expected a number'),
    ({'keypoints': [1e308] * 9}, r'\[0\].keypoints\[0\]: expected a number'),
    ({'score': float('nan')}, r'\[0\].score: expected a number'),
    ({'score': None}, r'\[0\].score: expected a number'),
  ],
)
def test_score_says_which_coco_result_is_wrong(change, message, tmp_path):
  pytest.importorskip('pycocotools')
  contents = coco_file(tmp_path / 'flies.json')
  truth = score.load_truth(tmp_path / 'flies.json', 'valid')
  results = [each | change for each in fly_results(contents)]
  (tmp_path / 'results.json').write_text(json.dumps(results))
  with pytest.raises(UserError, match=message) as error:
    score.summarize_coco(str(tmp_path / 'results.json'), truth)
  assert 'results.json' in str(error.value) and '\n' not in str(error.value)


def test_score_of_coco_results_needs_a_coco_file(few, tmp_path):
  with pytest.raises(UserError, match='--annotations is a COCO keypoints file'):
    score.summarize_coco('results.json', truth_of(few))
