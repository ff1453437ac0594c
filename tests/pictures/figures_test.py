"""Pictures show what they claim, at the right coordinates."""

import os

import cv2
import numpy as np
import pytest

from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.pictures import figures

SKELETON = Skeleton(
  joints=('r_hand', 'l_hand', 'head'),
  flip=(1, 0, 2),
  groups={'Hand': (0, 1), 'Head': (2,)},
  limbs=((0, 2), (1, 2)),
)
SIDE = 384  # px; a crop of this side is drawn on as it is
BLACK = np.zeros((SIDE, SIDE, 3), np.uint8)


def centroid(weights):
  """The (x, y) of a picture's mass, pixel centers at + 0.5."""
  rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
  return np.array([(weights * columns).sum(), (weights * rows).sum()]) / (
    weights.sum()
  )


def overlay(
  crop, joints, predictions, correct, labeled=(True,) * 3, radius=2.0
):
  picture = figures.overlay(
    crop,
    joints=np.array(joints, np.float32),
    labeled=np.array(labeled),
    predictions=np.array(predictions, np.float32),
    correct=np.array(correct),
    radius=radius,
    skeleton=SKELETON,
    title='somebody',
  )
  return picture[-SIDE:]  # below the title


@pytest.mark.parametrize('point', [(100.0, 200.0), (100.5, 37.25)])
def test_dot_is_centered_on_its_coordinates(point):
  only_head = np.array([False, False, True])
  drawn = figures.annotated(
    BLACK, np.array([(9, 9), (9, 9), point]), only_head, SKELETON
  )
  np.testing.assert_allclose(centroid(drawn[..., 0]), point, atol=0.07)


def test_annotated_enlarges_a_small_crop():
  drawn = figures.annotated(
    np.zeros((64, 64, 3), np.uint8),
    np.array([(9, 9), (9, 9), (20.25, 40.75)]),
    np.array([False, False, True]),
    SKELETON,
  )
  assert drawn.shape == (SIDE, SIDE, 3)  # 6 times
  np.testing.assert_allclose(
    centroid(drawn[..., 0]), (6 * 20.25, 6 * 40.75), atol=0.07
  )


def test_overlay_colors_truth_hits_and_misses():
  truth = [(50.5, 50.5), (300.5, 50.5), (200.5, 300.5)]
  guess = [(80.5, 50.5), (300.5, 80.5), (200.5, 330.5)]
  drawn = overlay(BLACK, truth, guess, [True, False, True])
  for x, y in ((50, 50), (300, 50), (200, 300)):
    assert tuple(drawn[y, x]) == (255, 255, 255)
  assert tuple(drawn[50, 80]) == tuple(drawn[330, 200]) == figures.CORRECT
  assert tuple(drawn[80, 300]) == figures.WRONG
  # Red and pink differ in lightness as well, for people who cannot see red.
  lightness = cv2.cvtColor(
    np.array([[figures.CORRECT, figures.WRONG]], np.uint8), cv2.COLOR_RGB2GRAY
  )[0].astype(int)
  assert lightness[0] - lightness[1] > 80


def test_overlay_rings_what_counts_as_correct():
  points = [(50.5, 50.5), (300.5, 50.5), (200.5, 300.5)]
  drawn = overlay(BLACK, points, points, [True] * 3, radius=30.0)
  for x, y in ((80, 50), (20, 50), (50, 20), (200, 330)):
    assert drawn[y, x].min() > 200
  assert drawn[50, 70].max() < 20


def test_overlay_draws_predicted_limbs_by_side():
  guess = [(20.5, 20.5), (360.5, 20.5), (190.5, 190.5)]
  truth = np.array(guess) + 60
  drawn = overlay(BLACK, truth, guess, [True] * 3)
  assert tuple(drawn[105, 105]) == figures.SIDES['right']
  assert tuple(drawn[105, 275]) == figures.SIDES['left']


def test_overlay_leaves_out_unlabeled_joints():
  points = [(50, 50), (300, 50), (200, 300)]
  drawn = overlay(BLACK, points, points, [False] * 3, labeled=[False] * 3)
  assert not drawn.any()
  drawn = overlay(
    BLACK, points, points, [True] * 3, labeled=[False, True, True]
  )
  assert not drawn[:, :150].any()


def test_figures_leave_the_crop_as_it_was():
  crop = np.full((SIDE, SIDE, 3), 200, np.uint8)
  overlay(crop, [(9, 9)] * 3, [(50, 50)] * 3, [True] * 3)
  assert (crop == 200).all()


def test_sheet_holds_every_picture_in_its_cell():
  pictures = [np.full((20, 30, 3), 50 * n, np.uint8) for n in range(1, 6)]
  page = figures.sheet(pictures, columns=2)
  # Three rows of 20 px and two columns of 30 px, 8 px between and around.
  assert page.shape == (3 * 28 + 8, 2 * 38 + 8, 3)
  for number, picture in enumerate(pictures):
    top, left = 8 + number // 2 * 28, 8 + number % 2 * 38
    np.testing.assert_array_equal(
      page[top : top + 20, left : left + 30], picture
    )


def test_worst_and_random_skips_unlabeled_people():
  labeled = np.array(
    [
      [True, True, True],  # 2/3
      [False, False, False],  # nothing to judge
      [True, False, False],  # 0/1
      [True, True, True],  # 0/3, more wrong than 0/1
      [True, True, False],  # 2/2
    ]
  )
  correct = np.array(
    [
      [True, True, False],
      [True, True, True],
      [False, True, True],  # the true ones are not labeled
      [False, False, False],
      [True, True, False],
    ]
  )
  chosen = figures.worst_and_random(correct, labeled, count=3)
  assert chosen['worst'].tolist() == [3, 2, 0]
  everyone = figures.worst_and_random(correct, labeled, count=99)
  assert everyone['random'].tolist() == [0, 2, 3, 4]
  again = figures.worst_and_random(correct, labeled, count=3)
  np.testing.assert_array_equal(chosen['random'], again['random'])


def test_save_overlays_needs_only_the_chosen_crops(tmp_path):
  paths = figures.save_overlays(
    tmp_path / 'figures',
    {'worst': [3], 'random': [0, 3], 'empty': []},
    crops={0: BLACK, 3: BLACK},
    joints=np.full((4, 3, 2), 100.0),
    labeled=np.ones((4, 3), bool),
    predictions=np.full((4, 3, 2), 110.0),
    correct=np.zeros((4, 3), bool),
    radius=np.full(4, 9.0),
    metric='PCKh@0.5',
    names=['a', 'b', 'c', 'd'],
    skeleton=SKELETON,
  )
  assert [path.name for path in paths] == [
    'overlay_worst.png',
    'overlay_random.png',
  ]
  assert all(cv2.imread(str(path)) is not None for path in paths)


def test_write_takes_rgb(tmp_path):
  red = np.full((4, 6, 3), (200, 10, 30), np.uint8)
  figures.write(tmp_path / 'new' / 'red.png', red)
  blue_green_red = cv2.imread(str(tmp_path / 'new' / 'red.png'))
  assert blue_green_red[0, 0].tolist() == [30, 10, 200]


def test_titles_take_names_that_are_not_utf8():
  page = figures.sheet([BLACK], columns=1, title=os.fsdecode(b'\xff.jpg'))
  assert page[:44].max() > 100


def test_write_takes_a_name_that_is_not_utf8(tmp_path):
  path = tmp_path / os.fsdecode(b'\xff.png')
  figures.write(path, BLACK)
  assert path.read_bytes().startswith(b'\x89PNG')
  with pytest.raises(UserError, match='is not a picture'):
    figures.write(tmp_path / os.fsdecode(b'a.\xff'), BLACK)


def test_write_names_a_path_it_cannot_write(tmp_path):
  with pytest.raises(UserError, match='red.txt is not a picture'):
    figures.write(tmp_path / 'red.txt', BLACK)
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='file: File exists; mend'):
    figures.write(tmp_path / 'file' / 'red.png', BLACK)
