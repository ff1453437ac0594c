import jax
import numpy as np
import optax
import pytest

from hg_jax.base.config import Config, Optimizer
from hg_jax.training import optimizer


def settings(**optimizer) -> Config:
  return Config(optimizer=Optimizer(**optimizer))


def test_update_100_000_is_the_last_at_the_full_rate():
  # SPEC 3 and 7.24: updates are numbered from 0.
  schedule = optimizer.make_schedule(
    settings(learning_rate=1e-3, drop_steps=(100_000,), drop_factor=0.2)
  )
  rates = [schedule(number) for number in (0, 99_999, 100_000, 100_001)]
  np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-3, 2e-4], rtol=1e-6)


def test_each_drop_multiplies_the_rate():
  schedule = optimizer.make_schedule(
    settings(learning_rate=8.0, drop_steps=(3, 5), drop_factor=0.5)
  )
  rates = [schedule(number) for number in range(8)]
  np.testing.assert_array_equal(rates, [8, 8, 8, 8, 4, 4, 2, 2])


def test_the_rate_stays_without_drops():
  schedule = optimizer.make_schedule(settings(learning_rate=8.0, drop_steps=()))
  assert schedule(10**9) == 8


def test_a_cosine_falls_from_the_full_rate_to_none():
  schedule = optimizer.make_schedule(
    Config(optimizer=Optimizer(schedule='cosine', learning_rate=8.0), steps=60)
  )
  # 8 (1 + cos(pi t / 60)) / 2: the full rate, its half in the middle, 0.
  rates = [schedule(number) for number in (0, 20, 30, 40, 60)]
  np.testing.assert_allclose(rates, [8, 6, 4, 2, 0], atol=1e-5)


@pytest.mark.parametrize('name', ['steps', 'cosine'])
def test_a_warm_up_rises_in_equal_parts_and_ends_where_the_rest_begins(name):
  warm = Optimizer(
    schedule=name, learning_rate=8.0, warmup_steps=4, drop_steps=(9,)
  )
  schedule = optimizer.make_schedule(Config(optimizer=warm, steps=20))
  rates = [schedule(number) for number in range(5)]
  np.testing.assert_allclose(rates, [2, 4, 6, 8, 8])
  # Drops are counted from the run's start, and the end is the run's.
  last = [schedule(number) for number in (9, 10, 20)]
  if name == 'steps':
    np.testing.assert_allclose(last, [8, 1.6, 1.6], rtol=1e-6)
  else:
    assert last[2] == pytest.approx(0, abs=1e-6)


def first_step(name, gradient):
  tx = optimizer.make_optimizer(settings(name=name, learning_rate=1e-3))
  params = np.float32(0)
  step, _ = tx.update(np.float32(gradient), tx.init(params), params)
  return float(step)


@pytest.mark.parametrize('gradient', [1e-6, 1.0])
def test_first_steps_do_not_depend_on_the_gradients_size(gradient):
  # rate * g / (sqrt(0.01 g^2) + eps): ten rates (SPEC 7.22). At 1e-6 the root
  # is 1e-7, so eps takes a tenth away; it would take nearly all in the root.
  expected = 1e-3 * gradient / (0.1 * gradient + 1e-8)
  assert first_step('rmsprop', gradient) == pytest.approx(-expected, rel=1e-5)
  # rate * g / (|g| + eps): a rate.
  expected = 1e-3 * gradient / (gradient + 1e-8)
  assert first_step('adam', gradient) == pytest.approx(-expected, rel=1e-5)


def test_sgd_steps_are_the_gradient_times_the_rate():
  assert first_step('sgd', 3.0) == pytest.approx(-3e-3)


def test_an_unknown_optimizer_is_refused_by_name():
  with pytest.raises(ValueError, match="'lion'; choose adam"):
    optimizer.make_optimizer(settings(name='lion'))


@pytest.mark.parametrize('name', ['adam', 'rmsprop', 'sgd'])
def test_steps_on_given_gradients_equal_pytorchs(name):
  torch = pytest.importorskip('torch', reason='parity takes PyTorch')
  generator = np.random.default_rng(0)
  # As large as those met in training (SPEC 7.22), and down to rounding noise.
  sizes = np.float32([1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10])
  gradients = generator.normal(size=(40, 50, 6)).astype(np.float32) * sizes
  start = generator.normal(size=(50, 6)).astype(np.float32)

  theirs = torch.from_numpy(start.copy()).requires_grad_()
  torch_optimizer = {
    'adam': torch.optim.Adam,
    'rmsprop': torch.optim.RMSprop,
    'sgd': torch.optim.SGD,
  }[name]([theirs], lr=1e-3)
  for number, gradient in enumerate(gradients):
    theirs.grad = torch.from_numpy(gradient)
    torch_optimizer.step()
    if number == 20:
      torch_optimizer.param_groups[0]['lr'] *= 0.2

  ours = start
  tx = optimizer.make_optimizer(
    settings(name=name, learning_rate=1e-3, drop_steps=(20,), drop_factor=0.2)
  )
  state, update = tx.init(ours), jax.jit(tx.update)
  for gradient in gradients:
    step, state = update(gradient, state)
    ours = optax.apply_updates(ours, step)

  # A few roundings of numbers near 1.
  assert np.abs(ours - theirs.detach().numpy()).max() < 2e-6
  if name != 'sgd':
    assert np.abs(ours - start).max() > 1e-2
