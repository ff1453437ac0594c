import jax
import numpy as np
import optax
import pytest

from hg_jax import config, optimizer


def test_update_100_000_is_the_last_at_the_full_rate():
  # SPEC 3 and 7.24: updates are numbered from 0.
  schedule = optimizer.make_schedule(
    config.Optimizer(learning_rate=1e-3, drop_steps=(100_000,), drop_factor=0.2)
  )
  rates = [schedule(number) for number in (0, 99_999, 100_000, 100_001)]
  np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-3, 2e-4], rtol=1e-6)


def test_each_drop_multiplies_the_rate():
  schedule = optimizer.make_schedule(
    config.Optimizer(learning_rate=8.0, drop_steps=(3, 5), drop_factor=0.5)
  )
  rates = [schedule(number) for number in range(8)]
  np.testing.assert_array_equal(rates, [8, 8, 8, 8, 4, 4, 2, 2])


def test_the_rate_stays_without_drops():
  schedule = optimizer.make_schedule(
    config.Optimizer(learning_rate=8.0, drop_steps=())
  )
  assert schedule(10**9) == 8


def first_step(name, gradient):
  tx = optimizer.make_optimizer(config.Optimizer(name=name, learning_rate=1e-3))
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
    optimizer.make_optimizer(config.Optimizer(name='lion'))


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
    config.Optimizer(
      name=name, learning_rate=1e-3, drop_steps=(20,), drop_factor=0.2
    )
  )
  state, update = tx.init(ours), jax.jit(tx.update)
  for gradient in gradients:
    step, state = update(gradient, state)
    ours = optax.apply_updates(ours, step)

  # A few roundings of numbers near 1.
  assert np.abs(ours - theirs.detach().numpy()).max() < 2e-6
  if name != 'sgd':
    assert np.abs(ours - start).max() > 1e-2
