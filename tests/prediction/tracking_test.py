"""Boxes follow people, and smoothing keeps their place."""

import numpy as np
import pytest

from hg_jax.annotations import boxes
from hg_jax.prediction import tracking

SURE = np.ones(16)


def person(center, size, seed=0):
  """Joints within a square of this size about a point, on its edges too."""
  joints = np.random.default_rng(seed).uniform(-0.5, 0.5, (16, 2))
  joints[:4] = [(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)]
  return np.asarray(center) + size * joints


def test_box_is_square_about_the_joints():
  x, y, width, height = tracking.box_around(
    person((200, 300), 100), SURE, 640, 480
  )
  assert width == height
  assert 100 < width < 130  # the network sees a quarter more
  assert x + width / 2 == pytest.approx(200, abs=0.1)
  assert 300 < y + height / 2 < 310  # feet reach below ankles


def test_box_leaves_out_joints_that_are_not_found():
  joints, scores = person((200, 300), 100), SURE.copy()
  joints[5], scores[5] = (600, 10), 0.01
  box = tracking.box_around(joints, scores, 640, 480)
  assert box == tracking.box_around(joints[SURE == scores], SURE[1:], 640, 480)


def test_box_needs_half_of_the_joints():
  scores = np.where(np.arange(16) < 7, 1.0, 0.0)
  assert tracking.box_around(person((9, 9), 9), scores, 99, 99) is None
  assert tracking.box_around(np.full((16, 2), 9.0), SURE, 99, 99) is None


def test_no_box_is_about_joints_far_beyond_the_image():
  # Else the boxes of a network that knows nothing grow from frame to frame.
  def about(size):  # the middle of the image, which lies below the joints'
    return tracking.box_around(person((320, 240 - below * size), size), *rest)

  below, rest = 1.455 * 0.036, (SURE, 640, 480)
  assert about(9_000)[2] == pytest.approx(9_000 * 1.455 / boxes.ROOM, abs=0.1)
  assert about(90_000) is None


def test_track_follows_and_returns_to_its_start():
  start = (0.0, 0.0, 640.0, 480.0)
  track = tracking.Track(start, 3, smooth=False)
  for frame in range(10):
    center = 100 + 20 * frame, 200
    joints = person(center, 100)
    same = track.update(joints, SURE, frame / 30, 640, 480)
    np.testing.assert_array_equal(same, joints)
    x, _, width, _ = track.box
    assert x + width / 2 == pytest.approx(center[0], abs=0.1)
  track.update(joints, np.zeros(16), 1.0, 640, 480)
  assert track.box == start


def test_smoothing_quiets_noise_and_keeps_pace():
  noise = np.random.default_rng(0).normal(0, 2, (60, 16, 2))
  still, moving = [], []
  for made, speed in ((still, 0), (moving, 300)):  # px/s; three boxes a second
    track = tracking.Track((0, 0, 99, 99), 1, smooth=True)
    for frame in range(60):
      time = frame / 30
      truth = person((100 + speed * time, 200), 100)
      found = track.update(truth + noise[frame], SURE, time, 9999, 480)
      made.append(found - truth)
  raw = noise[30:].std()
  assert np.std(still[30:]) < 0.6 * raw
  # It lags by less than two frames.
  assert abs(np.mean(moving[30:], axis=(0, 1))[0]) < 2 * 300 / 30
