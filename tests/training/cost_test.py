import dataclasses

import pytest

from hg_jax.base.config import Config, Model, Optimizer
from hg_jax.training import cost


def config(stacks=2, **settings) -> Config:
  model = Model(
    stacks=stacks,
    features=settings.pop('features', 16),
    remat=settings.pop('remat', False),
    dtype=settings.pop('dtype', 'float32'),
  )
  made = Config(model=model, **settings)
  made.data.image_size = 64
  return made


@pytest.mark.parametrize(
  ('stacks', 'giga'),  # SPEC 1.1
  [(1, 5.15034), (2, 8.33461), (8, 27.44022)],
)
def test_multiplications_are_the_published_ones(stacks, giga):
  settings = Config(model=Model(stacks=stacks))
  assert cost.multiplications(settings, joints=16) / 1e9 == pytest.approx(
    giga, abs=1e-4
  )


def test_the_parts_make_the_published_whole():
  counts = cost.parameters(Config(model=Model(stacks=2)), joints=16)
  assert sum(counts.values()) == 6_570_400  # SPEC 1.1
  assert counts['stack0 hourglass'] == counts['stack1 hourglass']
  assert 'stack1 remap_features' not in counts


def test_memory_grows_by_each_image_and_each_stack():
  one, two, four = (
    cost.memory(config(stacks), joints=16) for stacks in (1, 2, 4)
  )
  # Four stacks are two, and twice what the second adds to the first.
  expected = two.activations + 2 * (two.activations - one.activations)
  assert four.activations == expected
  assert four.of(3) - four.of(2) == four.activations
  assert four.of(4, accumulate_steps=2) == four.of(2)
  # f32 weights of this size, and Adam's two moments of each.
  params = sum(cost.parameters(config(4), joints=16).values())
  assert four.gradients == 4 * params
  assert four.optimizer == pytest.approx(2 * four.gradients, abs=16)


def test_levers_save_what_they_are_for():
  plain = cost.memory(config(8), joints=16)
  # What eight more stacks add.
  more = cost.memory(config(16), joints=16).activations - plain.activations
  kept = [
    cost.memory(config(n, remat=True), joints=16).activations for n in (8, 16)
  ]
  assert 0 < kept[1] - kept[0] < more / 4
  # Batch statistics and heatmaps stay in float32.
  half = cost.memory(config(8, dtype='bfloat16'), joints=16).activations
  assert 0.5 * plain.activations < half < 0.9 * plain.activations
  sgd = dataclasses.replace(config(8), optimizer=Optimizer(name='sgd'))
  assert cost.memory(sgd, joints=16).optimizer < plain.optimizer / 100
  averaged = dataclasses.replace(config(8), ema_decay=0.9)
  assert cost.memory(averaged, joints=16).weights == 2 * plain.weights


def test_the_largest_batch_fits_and_one_more_does_not():
  there = cost.memory(config(), joints=16)
  limit = there.of(5) + there.activations // 2
  assert cost.largest_batch(config(), limit, joints=16) == 5
  assert cost.largest_batch(config(), there.weights, joints=16) == 0
