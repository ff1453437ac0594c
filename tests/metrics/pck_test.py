"""Tests of counts of correct joints, and of percentages.

Expected values are by hand, or from `slow_count`, which loops over people and
joints with Python's own numbers.
"""

import json
import math

import jax
import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.skeleton import Skeleton
from hg_jax.metrics import pck, pcp, tables

R_ANKLE, L_ANKLE, PELVIS, NECK, HEAD_TOP = 0, 5, 6, 8, 9
HEAD = 10.0  # px
METRIC = pck.create_metric(SKELETON)


def count(*people, thresholds=METRIC.thresholds, **kwargs):
  return pck.count(*people, thresholds=thresholds, **kwargs)


def slow_count(predictions, joints, labeled, visible, head_size):
  shape = 2, len(METRIC.thresholds), 16
  below, within = np.zeros(shape, int), np.zeros(shape, int)
  present = np.zeros((2, 16), int)
  for person, joint in np.argwhere(labeled):
    part = 0 if visible[person, joint] else 1
    present[part, joint] += 1
    x, y = (predictions - joints)[person, joint].tolist()
    for index, threshold in enumerate(METRIC.thresholds):
      radius = threshold * float(head_size[person])
      below[part, index, joint] += math.hypot(x, y) < radius
      within[part, index, joint] += math.hypot(x, y) <= radius
  return below, within, present


def random_people(people, seed=0):
  """Predictions off by whole pixels, and so at times exactly on the radius."""
  rng = np.random.default_rng(seed)
  joints = rng.integers(0, 500, (people, 16, 2)).astype(np.float32)
  errors = rng.integers(-12, 13, (people, 16, 2)).astype(np.float32)
  labeled = rng.random((people, 16)) < 0.9
  visible = rng.random((people, 16)) < 0.7
  # Even, so that the radius at 0.5 is a whole number too.
  head_size = 2 * rng.integers(8, 30, people).astype(np.float32)
  return joints + errors, joints, labeled, visible, head_size


def perfect_people(people):
  """Everybody labeled, visible and far apart; predictions on the truth."""
  joints = 1000.0 * np.arange(people * 16, dtype=np.float32)
  joints = np.stack([joints, joints], axis=-1).reshape(people, 16, 2)
  everything = np.ones((people, 16), bool)
  heads = np.full(people, HEAD, np.float32)
  return joints.copy(), joints, everything, everything, heads


def totals(people, threshold=0.5):
  return METRIC.at(METRIC.totals, count(*people), threshold)


def test_count_on_the_radius_is_within_and_not_below():
  # Errors: 3-4-5 triangle, exactly half a head of 10 px; and just inside.
  predictions, *truth = perfect_people(1)
  predictions[0, R_ANKLE] += 3, 4
  predictions[0, NECK] += 3, 3.99
  counts = count(predictions, *truth)
  assert counts.below[0, 50, R_ANKLE] == 0
  assert counts.within[0, 50, R_ANKLE] == 1
  assert counts.below[0, 50, NECK] == counts.within[0, 50, NECK] == 1


def test_threshold_0_1_is_not_0_11():
  predictions, *truth = perfect_people(2)
  predictions[0, NECK, 0] += 0.095 * HEAD
  predictions[1, NECK, 0] += 0.105 * HEAD
  counts = count(predictions, *truth)
  assert METRIC.thresholds[10] == 0.1 and METRIC.thresholds[50] == 0.5
  assert counts.below[0, 10, NECK] == 1
  assert counts.below[0, 11, NECK] == 2
  # 31 of the 32 joints are found.
  assert totals((predictions, *truth), 0.1)['all_joints'] == 96.875


def test_counts_equal_a_loop_over_joints():
  people = random_people(40)
  counts = count(*people)
  below, within, labeled = slow_count(*people)
  assert (within[:, 50] > below[:, 50]).any()  # there are ties to break
  np.testing.assert_array_equal(counts.below[:, 50], below[:, 50])
  np.testing.assert_array_equal(counts.within[:, 50], within[:, 50])
  np.testing.assert_array_equal(counts.labeled, labeled)
  assert {array.dtype for array in counts} == {np.dtype('int32')}


def test_curve_equals_a_loop_over_joints():
  predictions, *truth = random_people(40)
  predictions += np.random.default_rng(1).normal(0, 1, predictions.shape)
  people = predictions.astype(np.float32), *truth  # no ties
  counts = count(*people)
  below, within, _ = slow_count(*people)
  np.testing.assert_array_equal(counts.below, below)
  np.testing.assert_array_equal(counts.within, within)


def test_counts_of_a_batch_are_the_sum_of_its_parts():
  people = random_people(7)
  parts = [[array[:3] for array in people], [array[3:] for array in people]]
  together = count(*parts[0]) + count(*parts[1])
  for one, other in zip(together, count(*people), strict=True):
    np.testing.assert_array_equal(one, other)


def test_count_leaves_masked_people_out():
  people = random_people(7)
  mask = np.array([True, False, True, True, False, False, True])
  expected = count(*(array[mask] for array in people))
  people[0][~mask] = np.nan  # whatever the padding holds
  for one, other in zip(count(*people, mask=mask), expected, strict=True):
    np.testing.assert_array_equal(one, other)


def test_count_in_jit_equals_numpy():
  people = random_people(7)
  mask = np.arange(7) < 5
  counts = jax.jit(lambda *args: count(*args[:-1], mask=args[-1]))(
    *people, mask
  )
  assert isinstance(counts, pck.Counts)
  for one, other in zip(counts, count(*people, mask=mask), strict=True):
    assert isinstance(one, jax.Array) and one.dtype == np.int32
    np.testing.assert_array_equal(one, other)
  assert METRIC.summarize(counts)['totals'] == totals(
    [array[mask] for array in people]
  )


def test_count_refuses_predictions_of_another_shape():
  predictions, *truth = random_people(7)
  with pytest.raises(
    ValueError, match=r'\(1, 16, 2\), joints are \(7, 16, 2\)'
  ):
    count(predictions[:1], *truth)


def test_totals_have_their_joints():
  names = {
    name: [SKELETON.joints[k] for part in total.parts for k in part]
    for name, total in METRIC.totals.items()
  }
  assert len(names['all_joints']) == 16
  assert set(names['all_joints']) - set(names['standard']) == {
    'pelvis',
    'thorax',
  }
  assert names['joint_mean'] == names['standard']
  assert sorted(names['hard_joints']) == sorted(
    f'{side}_{joint}'
    for side in 'rl'
    for joint in ('ankle', 'knee', 'hip', 'wrist', 'elbow')
  )


def test_totals_by_hand():
  predictions, joints, labeled, visible, heads = perfect_people(4)
  labeled = labeled.copy()
  labeled[1:, R_ANKLE] = False  # one right ankle, and it is missed
  predictions[0, R_ANKLE] += 100
  predictions[0, HEAD_TOP, 0] += 5  # on the radius
  predictions[0, PELVIS] += 100
  found = totals((predictions, joints, labeled, visible, heads))
  assert found == {
    'all_joints': round(100 * 58 / 61, 4),  # missed: all three
    'standard': round(100 * 52 / 53, 4),  # the ankle
    'joint_mean': round((12 * 100 + 75 + 0) / 14, 4),  # ankle 0, head top 75
    'hard_joints': round(100 * 36 / 37, 4),
  }


def test_totals_of_two_people_swapped():
  predictions, *truth = perfect_people(4)
  predictions[[0, 1]] = predictions[[1, 0]]
  assert set(totals((predictions, *truth)).values()) == {50}


def test_totals_of_two_joints_swapped():
  predictions, *truth = perfect_people(4)
  pair = [R_ANKLE, L_ANKLE]
  predictions[0, pair] = predictions[0, pair[::-1]]
  counts = count(predictions, *truth)
  assert METRIC.at(METRIC.totals, counts) == {
    'all_joints': 96.875,  # 62 of 64
    'standard': round(100 * 54 / 56, 4),
    'joint_mean': round((12 * 100 + 2 * 75) / 14, 4),
    'hard_joints': 95,  # 38 of 40
  }
  assert METRIC.at(METRIC.groups, counts)['Ankle'] == 75


def test_curve_after_a_shift_by_half_a_heatmap_pixel():
  # The square is 10 heads wide and 64 heatmap pixels: half a pixel is
  # 10 / 128 = 0.078 heads. It takes 0.45 to 0.528 on one side, lost, and to
  # 0.372 on the other, still found.
  predictions, *truth = perfect_people(4)
  predictions[0, :, 0] += 0.45 * HEAD
  predictions[1, :, 0] -= 0.45 * HEAD
  assert totals((predictions, *truth))['all_joints'] == 100
  predictions[..., 0] += 10 * HEAD / 128
  curve = METRIC.totals['all_joints'].percent(count(predictions, *truth))
  found = {n: curve[n] for n in (7, 8, 37, 38, 50)}
  assert found == {7: 0, 8: 50, 37: 50, 38: 75, 50: 75}


def test_counts_tell_visible_from_occluded_joints():
  predictions, joints, labeled, visible, heads = perfect_people(4)
  visible = np.arange(64).reshape(4, 16) < 48  # the last person is hidden
  predictions[3, :4] += 100
  counts = count(predictions, joints, labeled, visible, heads)
  assert METRIC.at(METRIC.totals, counts.visible())['all_joints'] == 100
  assert METRIC.at(METRIC.totals, counts.occluded())['all_joints'] == 75
  assert METRIC.at(METRIC.totals, counts)['all_joints'] == 93.75


def test_auc_of_a_step():
  # Found from 0.25 on: half of the axis, and half of the step's 0.01 ramp.
  predictions, *truth = perfect_people(2)
  predictions[..., 0] += 0.25 * HEAD
  summary = METRIC.summarize(count(predictions, *truth))
  assert summary['auc'] == pytest.approx(100 * 0.255 / 0.5)
  assert summary['curve'][24:26] == [0, 100]


def test_summary_leaves_unlabeled_joints_out():
  predictions, joints, labeled, visible, heads = perfect_people(3)
  labeled = labeled.copy()
  labeled[:, [R_ANKLE, L_ANKLE]] = False
  counts = count(predictions, joints, labeled, visible, heads)
  summary = METRIC.summarize(counts)
  assert summary['groups']['Ankle'] is None
  assert summary['totals_occluded']['standard'] is None
  assert set(summary['totals'].values()) == {100}
  assert json.loads(json.dumps(summary, allow_nan=False)) == summary
  assert '-' in tables.table(METRIC, summary)


def bootstrap(predictions, joints, labeled, _, head_size, draws=1000):
  """Each total on other draws of as many people, by `count` on each draw."""
  rng = np.random.default_rng(0)
  people = [predictions, joints, labeled, labeled, head_size]
  resampled = []
  for _ in range(draws):
    rows = rng.integers(0, len(joints), len(joints))
    counts = count(*(array[rows] for array in people), thresholds=[0.5])
    resampled.append([t.percent(counts)[0] for t in METRIC.totals.values()])
  return np.array(resampled)  # [draws, totals]


def influences(predictions, joints, labeled, _, head_size):
  correct = METRIC.correct(predictions, joints, head_size)
  return METRIC.influences(correct, labeled)


def test_standard_errors_equal_a_bootstrap():
  # 1,000 draws are within 2.2 % (one sigma).
  people = random_people(80)
  people[0][:30] += 30  # some people are difficult, wholly wrong
  errors = pck.standard_errors(influences(*people))
  resampled = np.std(bootstrap(*people), axis=0)
  assert [*errors.values()] == pytest.approx(resampled, rel=0.09)


def test_paired_standard_errors_equal_a_bootstrap():
  people = random_people(80)
  people[0][:30] += 30
  other = people[0].copy()
  other[20:40] = people[1][20:40]
  pair = [people, (other, *people[1:])]
  first, second = (influences(*each) for each in pair)
  errors = pck.standard_errors({n: second[n] - first[n] for n in first})
  # The same draws of people in both.
  before, after = (bootstrap(*each) for each in pair)
  resampled = np.std(after - before, axis=0)
  assert [*errors.values()] == pytest.approx(resampled, rel=0.09)


def test_standard_errors_are_over_people():
  # A person is wholly right or wholly wrong, so 16 joints are one draw:
  # 100 sqrt(p (1 - p) / (P - 1)).
  people = perfect_people(400)
  people[0][:100] += 100
  expected = round(100 * math.sqrt(0.25 * 0.75 / 399), 4)
  assert pck.standard_errors(influences(*people)) == dict.fromkeys(
    METRIC.totals, expected
  )


def test_standard_error_of_one_person_is_none():
  errors = pck.standard_errors(influences(*perfect_people(1)))
  assert errors == dict.fromkeys(METRIC.totals)


def test_paired_standard_error_is_from_the_people_who_differ():
  # Both miss the same 100 of 400 people, and the first misses 4 more: the
  # difference is a share of 0.01.
  people = perfect_people(400)
  first, second = people[0].copy(), people[0].copy()
  first[:104] += 100
  second[:100] += 100
  before, after = (influences(each, *people[1:]) for each in (first, second))
  errors = pck.standard_errors({n: after[n] - before[n] for n in after})
  expected = round(100 * math.sqrt(0.01 * 0.99 / 399), 4)
  assert errors == dict.fromkeys(METRIC.totals, expected)


def test_table_fits_a_terminal_and_aligns():
  summary = METRIC.summarize(count(*random_people(30)))
  lines = tables.table(METRIC, summary | {'standard_error': summary['totals']})
  lines = lines.splitlines()
  assert max(map(len, lines)) <= 80
  groups, blank, *_ = lines[1:5], lines[5]
  assert {len(line) for line in groups} == {len(lines[0])} and not blank
  assert lines[0].split() == list(SKELETON.groups)
  assert lines[6].split() == list(METRIC.totals)


def skeleton_of(metric):
  """Five joints of something that is not MPII's person."""
  return Skeleton(
    joints=('nose', 'l_ear', 'r_ear', 'tail', 'tip'),
    flip=(0, 2, 1, 3, 4),
    groups={'Nose': (0,), 'Ear': (1, 2), 'Tail': (3, 4)},
    limbs=((0, 3), (3, 4)),
    metric=metric,
  )


# The unit's px, and the radius at the papers' threshold, px.
KINDS = {'pckh': (40, 20), 'pck_torso': (50, 10), 'pck_box': (200, 20)}


def animals(kind, shift):
  """Four with five joints, all but one hidden ear; predictions off by px."""
  joints = 1000.0 * np.arange(20, dtype=np.float32).reshape(4, 5, 1)
  joints = np.concatenate([joints, joints], axis=-1)
  labeled = np.ones((4, 5), bool)
  visible = labeled.copy()
  visible[0, 1] = False
  predictions = joints + np.array(shift, np.float32)
  reference = np.full(4, KINDS[kind][0], np.float32)
  return predictions, joints, labeled, visible, reference


@pytest.mark.parametrize('kind', KINDS)
def test_metric_of_perfect_predictions_is_100(kind):
  metric = pck.create_metric(skeleton_of(kind))
  summary = metric.summarize(
    count(*animals(kind, (0, 0)), thresholds=metric.thresholds)
  )
  assert set(summary['totals'].values()) == {100}
  assert set(summary['groups'].values()) == {100}
  assert summary['totals_occluded']['all_joints'] == 100
  # No error is under 0: half of the first of 50 steps is lost, unless the
  # curve is of <=.
  assert summary['auc'] == (100 if kind == 'pck_torso' else 99)


@pytest.mark.parametrize('kind', KINDS)
def test_metric_of_a_shift_by_the_radius(kind):
  metric = pck.create_metric(skeleton_of(kind))
  radius = KINDS[kind][1]
  people = list(animals(kind, (0.6 * radius, 0.8 * radius)))  # 3-4-5
  people[0][1, :2] = people[1][1, :2]  # a person's nose and ear are exact
  totals = metric.at(
    metric.totals, count(*people, thresholds=metric.thresholds)
  )
  # 2 of 20 under the radius; nose and left ear are 1 of 4 each.
  assert totals['all_joints'] == 10
  assert totals['joint_mean'] == (25 + 25 + 0 + 0 + 0) / 5
  # LSP's evaluation counts the radius itself.
  assert totals.get('standard') == (100 if kind == 'pck_torso' else None)


def test_metric_names_have_unit_and_threshold():
  names = {}
  for kind in KINDS:
    metric = pck.create_metric(skeleton_of(kind))
    names[kind] = metric.name(), metric.name(metric.fine), metric.unit
  assert names == {
    'pckh': ('PCKh@0.5', 'PCKh@0.1', 'head sizes'),
    'pck_torso': ('PCK@0.2 torso', 'PCK@0.1 torso', 'torso lengths'),
    'pck_box': ('PCK@0.1 box', 'PCK@0.05 box', 'box sides'),
  }


def test_conventions_of_mpii_are_only_for_its_joints():
  assert len(METRIC.totals) == 4
  other = pck.create_metric(skeleton_of('pckh'))
  assert list(other.totals) == ['all_joints', 'joint_mean']


def test_thresholds_of_pckh_are_hundredths():
  assert METRIC.thresholds == tuple(n / 100 for n in range(51))


def test_pcp_counts_limbs_with_both_ends_near():
  # A limb of 10 px: ends may be 5 px off.
  joints = np.array([[[0, 0], [10, 0]]] * 4, np.float32)
  predictions = joints.copy()
  predictions[0, :, 1] += 5  # on the radius
  predictions[1, 1, 1] += 5.1  # one end too far
  labeled = np.array([[1, 1], [1, 1], [1, 1], [1, 0]], bool)
  assert pcp.pcp(predictions, joints, labeled, [(0, 1)]) == round(200 / 3, 4)
  assert pcp.pcp(predictions, joints, labeled & False, [(0, 1)]) is None
  assert pcp.pcp(predictions, joints, labeled, []) is None


def test_table_of_many_joints_fits_a_terminal():
  skeleton = Skeleton(
    joints=tuple(f'antenna_{k}' for k in range(20)),
    flip=tuple(range(20)),
    groups={f'Antenna {k}': (k,) for k in range(20)},
    limbs=(),
    metric='pck_box',
  )
  metric = pck.create_metric(skeleton)
  points = np.zeros((2, 20, 2), np.float32)
  everything = np.ones((2, 20), bool)
  people = points, points, everything, everything, np.ones(2, np.float32)
  text = tables.table(
    metric, metric.summarize(count(*people, thresholds=metric.thresholds))
  )
  assert max(map(len, text.splitlines())) <= 80
  for k in range(20):
    assert f'Antenna {k}' in text


def test_count_leaves_people_without_reference_out():
  people = list(random_people(7))
  people[4][2] = 0
  others = np.arange(7) != 2
  part = [array[others] for array in people]
  for one, other in zip(count(*people), count(*part), strict=True):
    np.testing.assert_array_equal(one, other)
