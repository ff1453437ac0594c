import numpy as np
import pytest

from hg_jax.prediction import search


@pytest.mark.parametrize('size', [(160, 90), (90, 160), (300, 200)])
def test_places_cover_the_image_and_lie_within(size):
  width, height = size
  whole, *squares = search.places(width, height)
  assert whole == (0, 0, width, height)
  covered = np.zeros((height, width), bool)
  for x, y, w, h in squares:
    assert w == h == min(size)
    assert 0 <= x <= width - w and 0 <= y <= height - h
    covered[round(y) : round(y + h), round(x) : round(x + w)] = True
  assert covered.all()


def test_places_of_a_wide_and_a_high_image_mirror_each_other():
  wide, high = search.places(160, 90), search.places(90, 160)
  assert [(y, x, h, w) for x, y, w, h in wide] == high


def test_nearly_square_images_are_looked_at_as_a_whole():
  assert search.places(100, 110) == [(0, 0, 100, 110)]


@pytest.mark.parametrize('size', [(160, 90), (90, 160), (100, 100), (900, 90)])
def test_closer_places_overlap_by_half_and_cover_the_image(size):
  width, height = size
  looks = np.zeros((height, width), int)
  for x, y, w, h in search.closer_places(width, height):
    assert w == h < min(size)
    assert 0 <= x <= width - w + 1e-9 and 0 <= y <= height - h + 1e-9
    looks[round(y) : round(y + h), round(x) : round(x + w)] += 1
  assert looks.min() >= 1
  inner = looks[height // 3 : -height // 3, width // 3 : -width // 3]
  assert np.median(inner) >= 4


def test_closer_places_of_a_pixel_are_that_pixel():
  assert search.closer_places(1, 1) == [(0, 0, 1, 1)]
  assert search.closer_places(2, 1) == [(x, 0, 1, 1) for x in (0, 0.5, 1)]


def test_sureness_leaves_hidden_joints_out():
  scores = np.array([[0.9, 0.8, 0.1, 0.0], [0.6, 0.6, 0.6, 0.6]])
  np.testing.assert_allclose(search.sureness(scores), [0.85, 0.6])


@pytest.mark.parametrize(
  ('score', 'closer', 'looks'),
  [(0.9, True, [4, 1]), (0.6, True, [4, 1, 16]), (0.6, False, [4, 1])],
)
def test_search_looks_closer_only_where_it_is_not_sure(score, closer, looks):
  photo = np.zeros((720, 1280, 3), np.uint8)
  seeking = search.Search(photo, 128, closer=closer)
  inputs, maps = seeking.look()
  told = []
  while seeking.box is None:
    told.append(len(seeking.places))
    joints = np.zeros((told[-1], 4, 2))
    joints[0] = [[100, 50], [150, 50], [100, 200], [150, 200]]
    scores = np.full((told[-1], 4), 0.1)
    scores[0] = score
    seeking.tell(joints, scores)
  assert told == looks
  x, y, w, h = seeking.box  # px of the photo, where joints have twice the px
  assert 0 < x < 200 and x + w > 300 and 0 <= y < 100 and y + h > 400


def test_choose_takes_the_joints_of_the_surest_place():
  places = search.places(160, 90)
  joints = np.zeros((4, 3, 2))
  joints[2] = [[70, 20], [80, 50], [75, 80]]
  scores = np.full((4, 3), 0.2)
  scores[2] = 0.9
  x, y, w, h = search.choose(places, joints, scores, 160, 90)
  assert x < 70 and x + w > 80 and y < 20 and y + h > 80 and w == h < 90


def test_choose_keeps_the_place_where_most_joints_are_not_found():
  places = search.places(160, 90)
  scores = np.zeros((4, 3))
  scores[3, 0] = 0.9
  box = search.choose(places, np.zeros((4, 3, 2)), scores, 160, 90)
  assert box == places[3]
