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


def follow(tracks, people, scores=None, found=None):
  """A frame of a video of 640 x 480 px; the numbers of who was seen."""
  looked_at = tracks.people(found)
  joints = np.array(people).reshape(-1, 16, 2)
  if scores is None:
    scores = np.ones(joints.shape[:2])
  ids = [person.id for person in looked_at]
  assert len(ids) == len(joints)
  seen = tracks.follow(ids, joints, np.array(scores), 640, 480)
  return [track.id for _, track in seen]


def square(center, side=100):
  x, y = center
  return boxes.Person((x - side / 2, y - side / 2, side, side), score=0.9)


def test_given_box_follows_and_returns_to_its_start():
  start = (0.0, 0.0, 640.0, 480.0)
  tracks = tracking.Tracks([start], most=None)
  for frame in range(10):
    center = 100 + 20 * frame, 200
    assert follow(tracks, [person(center, 100)]) == [1]
    (looked_at,) = tracks.people(None)
    x, _, width, _ = looked_at.box
    assert x + width / 2 == pytest.approx(center[0], abs=0.1)
  assert follow(tracks, [person(center, 100)], [np.zeros(16)]) == [1]
  assert tracks.people(None)[0].box == start


def test_two_people_who_cross_keep_their_numbers():
  tracks = tracking.Tracks(None, most=None)
  for frame in range(21):
    # They pass at different heights, as one before the other.
    a, b = (100 + 20 * frame, 200), (500 - 20 * frame, 240)
    found = None
    if tracks.to_find(frame):
      found = [square(b), square(a)]
    # In the order in which they were found.
    people = [person(b, 100, seed=2), person(a, 100, seed=1)]
    assert sorted(follow(tracks, people, found=found)) == [1, 2]
    # Number 1 is b, who was found first.
    first, second = tracks.people(None)
    assert first.box[0] + first.box[2] / 2 == pytest.approx(b[0], abs=1)
    assert second.box[0] + second.box[2] / 2 == pytest.approx(a[0], abs=1)


def test_number_lasts_through_a_few_missed_frames_and_no_longer():
  tracks = tracking.Tracks(None, most=None)
  joints, where = person((200, 200), 100), square((200, 200))
  assert follow(tracks, [joints], found=[where]) == [1]
  assert follow(tracks, [joints], [np.zeros(16)]) == []
  assert tracks.to_find(2)  # Nobody is seen, so people are looked for.
  assert follow(tracks, [joints], found=[where]) == [1]
  assert follow(tracks, [joints], [np.zeros(16)]) == []
  for _ in range(20):
    assert follow(tracks, [], found=[]) == []
  assert follow(tracks, [joints], found=[where]) == [2]


def test_track_that_no_square_is_found_for_ends():
  # Joints cling to something else after their person has left.
  tracks = tracking.Tracks(None, most=None)
  joints = person((200, 200), 100)
  follow(tracks, [joints], found=[square((200, 200))])
  looks = 0
  while tracks.people([]):
    looks += 1
    assert looks < 9


def test_one_person_has_one_track():
  tracks = tracking.Tracks(None, most=None)
  found = [square((200, 200)), square((260, 200))]
  same = person((200, 200), 100)
  assert follow(tracks, [same, same + 1], found=found) == [1]


def test_most_people_are_the_surest():
  tracks = tracking.Tracks(None, most=1)
  found = [square((200, 200)), square((400, 200))]
  assert [p.box for p in tracks.people(found)] == [found[0].box]


def test_distinct_keeps_the_surer_of_two_alike():
  one, other = person((200, 200), 100), person((330, 210), 100)
  joints = np.stack([one, other, one + 2])
  scores = np.array([np.full(16, 0.5), np.full(16, 0.4), np.full(16, 0.6)])
  assert tracking.distinct(joints, scores) == [1, 2]


def test_smoothing_quiets_noise_and_keeps_pace():
  noise = np.random.default_rng(0).normal(0, 2, (60, 16, 2))
  still, moving = [], []
  for made, speed in ((still, 0), (moving, 300)):  # px/s; three boxes a second
    track = tracking.Track((0, 0, 99, 99), 1)
    for frame in range(60):
      time = frame / 30
      truth = person((100 + speed * time, 200), 100)
      made.append(track.smoothed(truth + noise[frame], time) - truth)
  raw = noise[30:].std()
  assert np.std(still[30:]) < 0.6 * raw
  # It lags by less than two frames.
  assert abs(np.mean(moving[30:], axis=(0, 1))[0]) < 2 * 300 / 30
