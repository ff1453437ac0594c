import numpy as np
import pytest

from hg_jax.base.errors import UserError
from hg_jax.data import boxes


def test_square_is_a_quarter_larger_than_the_box():
  # SPEC 2.1: the square is 1.25 times a person's height.
  center, side = boxes.square((10, 20, 30, 80), 100, 100)
  np.testing.assert_array_equal(center, [25, 60])
  assert side == 100


@pytest.mark.parametrize(
  'box',
  [
    (0, 0, 0, 10),
    (0, 0, 10, -3),
    (0, 0, float('nan'), 10),
    (float('inf'), 0, 10, 10),
    (1, 2, 3),
    ('a', 0, 1, 1),
    7,
  ],
)
def test_square_refuses_what_is_not_a_box(box):
  with pytest.raises(UserError, match='must be x,y,width,height'):
    boxes.square(box, 100, 100)


@pytest.mark.parametrize(
  'box', [(100, 0, 5, 5), (0, 50, 5, 5), (-9, 0, 9, 9), (0, -9, 9, 9)]
)
def test_square_refuses_a_box_outside_the_photo(box):
  with pytest.raises(UserError, match='outside the image of 100 x 50 px'):
    boxes.square(box, 100, 50)
