"""Squares found, counted so that photos add."""

import numpy as np
import pytest

from hg_jax.metrics import boxes


def count(found, scores, truth, ignored=None):
  found, truth = (np.reshape(x, (-1, 3)).astype(float) for x in (found, truth))
  ignored = np.zeros(len(truth), bool) if ignored is None else ignored
  return boxes.count(
    found[:, :2], found[:, 2], np.array(scores), truth[:, :2], truth[:, 2],
    np.array(ignored),
  )  # fmt: skip


def test_overlap_is_intersection_over_union():
  # 10 x 10 and 10 x 10, moved by 5: 50 of 150. A quarter in a whole: 1 / 4.
  a, b = np.array([(5.0, 5.0), (5.0, 5.0)]), np.array([(10.0, 5.0), (4.0, 4.0)])
  found = boxes.overlap(a, np.array([10.0, 10.0]), b, np.array([10.0, 5.0]))
  np.testing.assert_allclose(found, [1 / 3, 1 / 4])


def test_person_is_found_once():
  counts = count(
    [(50, 50, 20), (51, 50, 20), (90, 90, 20)],
    [0.9, 0.8, 0.7],
    [(50, 50, 20), (10, 10, 20)],
  )
  assert (counts.right[0], counts.wrong[0], counts.people) == (1, 2, 2)
  # Above 0.85 the one that is right alone.
  assert (counts.right[85], counts.wrong[85]) == (1, 0)
  assert counts.recall()[0] == 0.5
  assert counts.precision()[0] == pytest.approx(1 / 3)


def test_average_precision_by_hand():
  # Right at 0.9, wrong at 0.8, right at 0.7: recalls up to 1/2 at precision 1,
  # beyond it 2/3; 51 of the 101 recalls are up to 0.5.
  counts = count(
    [(50, 50, 20), (90, 90, 20), (10, 10, 20)],
    [0.9, 0.8, 0.7],
    [(50, 50, 20), (10, 10, 20)],
  )
  expected = (51 * 1 + 50 * 2 / 3) / 101
  assert counts.average_precision() == pytest.approx(expected)


def test_counts_of_photos_add():
  one = ([(50, 50, 20)], [0.9], [(50, 50, 20)])
  other = ([(30, 30, 20)], [0.6], [(80, 80, 20)])
  together = count(*one) + count(*other)
  assert together.people == 2
  assert (together.right[0], together.wrong[0]) == (1, 1)


def test_ignored_people_are_neither_right_nor_wrong():
  counts = count([(50, 50, 4)], [0.9], [(50, 50, 4)], [True])
  assert (counts.right[0], counts.wrong[0], counts.people) == (0, 0, 0)
  assert count([], [], [(50, 50, 20)]).recall()[0] == 0
