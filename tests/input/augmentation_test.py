import numpy as np
import pytest

from hg_jax.base import affine
from hg_jax.base.config import Augment
from hg_jax.input import augmentation

PORT = Augment()


def test_epochs_show_everyone_once_in_different_orders():
  rows = augmentation.rows(7, seed=3, first=0, count=21).reshape(3, 7)
  for epoch in rows:
    assert sorted(epoch) == list(range(7))
  assert len({tuple(epoch) for epoch in rows}) == 3


@pytest.mark.parametrize('first, count', [(0, 1), (5, 4), (13, 20)])
def test_example_depends_only_on_its_number(first, count):
  part = slice(first, first + count)
  rows = augmentation.rows(7, seed=3, first=0, count=40)
  np.testing.assert_array_equal(
    augmentation.rows(7, seed=3, first=first, count=count), rows[part]
  )
  whole = augmentation.sample(PORT, seed=3, first=0, count=40)
  drawn = augmentation.sample(PORT, seed=3, first=first, count=count)
  for name in ('rotation', 'scale', 'flip', 'saturation', 'brightness'):
    np.testing.assert_array_equal(
      getattr(drawn, name), getattr(whole, name)[part], name
    )


def test_seed_changes_people_and_augmentation():
  first, second = (
    augmentation.sample(PORT, seed=seed, first=0, count=5) for seed in (0, 1)
  )
  assert (first.rotation != second.rotation).all()
  orders = [augmentation.rows(99, seed=s, first=0, count=99) for s in (0, 1)]
  assert (orders[0] != orders[1]).any()


def test_changes_are_uniform_within_half_widths():
  changes = augmentation.sample(PORT, seed=0, first=0, count=20_000)
  for name, middle, half_width in (
    ('rotation', 0, 30),
    ('scale', 1, 0.25),
    ('saturation', 1, 0.5),
    ('brightness', 0, 0.3),
    ('contrast', 1, 0.5),
  ):
    unit = (getattr(changes, name) - middle) / half_width
    # Uniform on [-1, 1]: a mean of 0 and a variance of 1 / 3, here to about
    # four standard errors.
    assert -1 <= unit.min() < -0.99 and 0.99 < unit.max() <= 1, name
    assert abs(unit.mean()) < 0.02, name
    assert abs(unit.var() - 1 / 3) < 0.01, name
  assert abs(changes.flip.mean() - 0.5) < 0.015


def test_changes_are_independent():
  changes = augmentation.sample(PORT, seed=0, first=0, count=20_000)
  drawn = [changes.rotation, changes.scale, changes.flip, changes.saturation]
  drawn += [changes.brightness, changes.contrast]
  correlation = np.corrcoef(drawn) - np.eye(6)
  assert np.abs(correlation).max() < 0.03


def test_no_augmentation_changes_nothing():
  nothing = Augment(**dict.fromkeys(Augment.__slots__, 0.0))
  changes = augmentation.sample(nothing, seed=0, first=0, count=3)
  assert (changes.rotation == 0).all() and (changes.scale == 1).all()
  assert not changes.flip.any()
  np.testing.assert_allclose(
    changes.color_matrix(), np.broadcast_to(np.eye(3, 4), (3, 3, 4)), atol=1e-6
  )


# By hand: the pixel's own gray is (120 + 60 + 30) / 3 = 70, mid-gray 127.5.
@pytest.mark.parametrize(
  'change, expected',
  [
    ({'saturation': 0.5}, [95, 65, 50]),
    ({'saturation': 0.0}, [70, 70, 70]),
    ({'brightness': 0.2}, [171, 111, 81]),
    ({'contrast': 2.0}, [112.5, -7.5, -67.5]),
    # Saturation, then brightness, then contrast.
    (
      {'saturation': 0.5, 'brightness': 0.2, 'contrast': 2.0},
      [164.5, 104.5, 74.5],
    ),
  ],
)
def test_colors_by_hand(change, expected):
  values = {'saturation': 1.0, 'brightness': 0.0, 'contrast': 1.0} | change
  one = augmentation.Augmentation(
    rotation=np.zeros(1),
    scale=np.ones(1),
    flip=np.zeros(1, bool),
    **{name: np.array([value]) for name, value in values.items()},
  )
  color = one.color_matrix()[0] @ [120, 60, 30, 1]
  np.testing.assert_allclose(color, expected, atol=1e-4)


@pytest.mark.parametrize('augment', [PORT, Augment(rotation=60, scale=0.5)])
def test_margin_is_the_farthest_reach_of_the_changes(augment):
  side = 100.0
  changes = augmentation.sample(augment, seed=0, first=0, count=4000)
  image_to_crop = affine.image_to_crop(
    np.zeros((4000, 2)),
    side * changes.scale,
    64,
    rotation=changes.rotation,
    flip=changes.flip,
  )
  corners = np.array([[0, 0], [64, 0], [0, 64], [64, 64.0]])
  reached = affine.apply(corners, np.linalg.inv(image_to_crop))
  furthest = np.abs(reached).max() / (side / 2)
  assert furthest <= augmentation.margin(augment) < 1.02 * furthest
