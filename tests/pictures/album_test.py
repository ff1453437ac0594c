"""People have different colors, and pictures different names."""

import os
from pathlib import Path

import numpy as np
import pytest

from hg_jax.base.skeleton import Skeleton
from hg_jax.pictures import album

SKELETON = Skeleton(
  joints=('r_hand', 'l_hand'), flip=(1, 0), groups={}, limbs=((0, 1),)
)


def draw(joints, scores=None, size=400, **settings):
  joints = np.asarray(joints, float)
  scores = np.ones(joints.shape[:2]) if scores is None else np.asarray(scores)
  picture = np.zeros((size, size, 3), np.uint8)
  return album.overlay(
    picture,
    (size, size),
    joints,
    scores,
    range(1, len(joints) + 1),
    SKELETON,
    **({'threshold': 0.1} | settings),
  )


def test_several_people_have_colors_of_their_own():
  drawn = draw([[(50, 100), (350, 100)], [(50, 300), (350, 300)]])
  assert tuple(drawn[100, 120]) == album.color_of(1)
  assert tuple(drawn[300, 120]) == album.color_of(2)
  assert album.color_of(1) == album.color_of(13)


@pytest.mark.parametrize('x', [0, 200, 399])
def test_numbers_of_people_at_the_same_place_do_not_cover_each_other(x):
  same = [(x, 60), (x, 300)]
  drawn = draw([same, same, same])
  for number in (1, 2, 3):
    # The last one's lines cover those below; numbers are higher up.
    ground = (drawn[:55] == album.color_of(number)).all(axis=-1)
    assert np.ptp(np.flatnonzero(ground.any(axis=1))) >= 10
    assert np.ptp(np.flatnonzero(ground.any(axis=0))) >= 10


def test_lines_are_wider_on_larger_people():
  drawn = draw([[(20, 100), (380, 100)], [(20, 300), (80, 300)]])
  large = (drawn[60:140, 120] == album.color_of(1)).all(axis=-1).sum()
  small = (drawn[260:340, 50] == album.color_of(2)).all(axis=-1).sum()
  assert large > small >= 2


def test_joints_below_the_threshold_are_not_drawn():
  joints, scores = [[(50, 100), (350, 100)]], [[0.05, 0.6]]
  drawn = draw(joints, scores)
  assert not drawn[:, :300].any() and drawn[:, 340:].any()
  assert not draw(joints, scores, threshold=0.7).any()


def test_scores_are_written_if_asked():
  joints = [[(50, 200), (350, 200)]]
  plain, written = draw(joints), draw(joints, write_scores=True)
  assert (plain != written).any()


@pytest.mark.parametrize(
  ('shape', 'longer'),
  [((60, 80), 384), ((3000, 4000), 1280), ((500, 400), 500)],
)
def test_resized_shows_lines_two_pixels_wide(shape, longer):
  picture = np.full((*shape, 3), 7, np.uint8)
  small = album.resized(picture)
  assert max(small.shape) == longer and (small == 7).all()
  assert not np.shares_memory(small, picture)


def test_each_file_has_a_name_of_its_own():
  names = album.Names(['c'])
  paths = 'a/x.jpg b/x.png x_2.jpg d/X.jpg c.jpg'.split()
  assert [names.of(Path(path)) for path in paths] == [
    'x',
    'x_2',
    'x_2_2',
    'X_3',
    'c_2',
  ]


def test_names_differ_in_more_than_the_form_of_unicode():
  names = album.Names([])
  assert names.of(Path('\u00e9.jpg')) != names.of(Path('e\u0301.jpg'))


def test_names_keep_bytes_that_are_not_utf8():
  name = os.fsdecode(b'\xff')
  assert album.Names([]).of(Path(f'{name}.jpg')) == name


@pytest.mark.parametrize('letter', ['x', '\u00e9', os.fsdecode(b'\xff')])
def test_names_of_long_names_leave_room_for_what_is_added(letter, tmp_path):
  longest = letter * (251 // len(os.fsencode(letter)))
  names = album.Names([])
  made = [names.of(Path(f'{longest}.jpg')) for _ in range(12)]
  assert len(set(made)) == 12
  for name in made:
    (tmp_path / f'{name}_heatmaps_100.png').write_text('')


def test_names_of_many_files_are_made_at_once():
  names = album.Names([])
  made = {names.of(Path(f'{folder}/x.jpg')) for folder in range(20_000)}
  assert len(made) == 20_000


@pytest.mark.parametrize(
  ('source', 'name'),
  [
    ('0', 'camera_0'),
    ('rtsp://user@door:554/live/main?x=1', 'main'),
    ('http://door/', 'door'),
  ],
)
def test_names_of_streams_are_names_of_files(source, name):
  assert album.Names([]).of(source) == name
