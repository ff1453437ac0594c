"""What is rendered of people is decoded, and learned at its least loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hg_jax.model import people_maps

SIZE = 32
MIDDLES = np.array([(5.5, 9.5), (20.5, 24.5), (28.5, 3.5)])
SIDES = np.array([6.0, 14.0, 4.0])


def perfect(target, sure=8.0):
  """Maps of a network that answers the target."""
  logits = np.log(np.clip(target[..., 0], 1e-4, 1 - 1e-4))
  logits -= np.log(1 - np.clip(target[..., 0], 1e-4, 1 - 1e-4))
  return np.stack([np.clip(logits, -sure, sure), target[..., 1]], -1)


def test_decode_is_the_inverse_of_render():
  target = people_maps.render(MIDDLES, SIDES, np.zeros(3, bool), size=SIZE)
  middles, sides, scores = people_maps.decode(
    jnp.array(perfect(target)), count=5
  )
  order = np.argsort(np.array(middles[:3, 0]))
  np.testing.assert_allclose(middles[:3][order], MIDDLES, atol=0.05)
  np.testing.assert_allclose(sides[:3][order], SIDES, rtol=1e-5)
  assert (scores[:3] > 0.9).all() and (scores[3:] < 0.5).all()


def test_render_is_one_at_a_middle_and_falls_with_the_side():
  target = people_maps.render(MIDDLES, SIDES, np.zeros(3, bool), size=SIZE)
  for (x, y), side in zip(MIDDLES, SIDES, strict=True):
    row, column = int(y), int(x)
    assert target[row, column, 0] == 1
    # exp(-1/2 (1 / (0.08 side))^2), but no narrower than 0.6 px.
    sigma = max(0.08 * side, 0.6)
    beside = np.exp(-1 / (2 * sigma**2))
    assert target[row, column - 1, 0] == pytest.approx(beside, rel=1e-5)
    assert target[row, column, 1] == pytest.approx(np.log(side / SIZE))


def test_ignored_people_are_neither_right_nor_wrong():
  ignored = np.array([False, False, True])
  target = people_maps.render(MIDDLES, SIDES, ignored, size=SIZE)
  assert target[3, 28, 0] == 0 and target[3, 28, 3] == 0
  maps = perfect(target)[None, None].astype(np.float32)
  found = maps.copy()
  found[..., 3, 28, 0] = 5.0  # finds the person
  np.testing.assert_allclose(
    people_maps.loss(jnp.array(maps), target[None]),
    people_maps.loss(jnp.array(found), target[None]),
  )


def test_person_outside_is_not_rendered():
  middles = np.array([(-1.0, 5.0), (5.0, 32.0)])
  target = people_maps.render(middles, [4, 4], np.zeros(2, bool), size=SIZE)
  assert not target[..., :3].any()


def test_loss_is_that_of_the_papers():
  # CornerNet's equation 1 and an L1, a pixel at a time.
  rng = np.random.default_rng(0)
  target = people_maps.render(MIDDLES, SIDES, np.zeros(3, bool), size=SIZE)
  maps = rng.normal(0, 1, (1, 1, SIZE, SIZE, 2)).astype(np.float32)
  total, side_error, weights = 0.0, 0.0, 0.0
  for row in range(SIZE):
    for column in range(SIZE):
      p = 1 / (1 + np.exp(-float(maps[0, 0, row, column, 0])))
      y, log_side, weight, _ = map(float, target[row, column])
      if y == 1:
        total += (1 - p) ** 2 * np.log(p)
      else:
        total += (1 - y) ** 4 * p**2 * np.log(1 - p)
      side_error += weight * abs(float(maps[0, 0, row, column, 1]) - log_side)
      weights += weight
  expected = -total / 3 + 0.5 * side_error / weights
  (found,) = people_maps.loss(jnp.array(maps), target[None])
  assert float(found) == pytest.approx(expected, rel=1e-4)


def test_loss_is_least_at_the_answer():
  target = people_maps.render(MIDDLES, SIDES, np.zeros(3, bool), size=SIZE)
  maps = jnp.array(perfect(target))[None, None]
  best = people_maps.loss(maps, target[None])
  noise = jax.random.normal(jax.random.key(0), maps.shape)
  nobody = jnp.broadcast_to(jnp.array(people_maps.NOBODY), maps.shape)
  assert best < people_maps.loss(maps + noise, target[None])
  assert best < people_maps.loss(nobody, target[None])
