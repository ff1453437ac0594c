import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hg_jax.base.config import Config, Model, Optimizer
from hg_jax.training import optimizer, train_step

pytestmark = pytest.mark.usefixtures('shallow')

SIZE = 64


def tiny_config(**settings) -> Config:
  """A network of 8 features."""
  config = Config(
    **{
      'model': Model(stacks=1, features=8),
      'optimizer': Optimizer(name='sgd', learning_rate=0.1),
      'batch_size': 4,
    }
    | settings
  )
  config.data.image_size = SIZE
  return config


def random_batch(count=4, seed=0) -> train_step.Batch:
  rng = np.random.default_rng(seed)
  heatmaps = rng.uniform(size=(count, SIZE // 4, SIZE // 4, 16))
  return {
    'image': rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8),
    'heatmaps': heatmaps.astype(np.float32),
    'known': np.ones((count, 16), bool),
  }


def run_steps(config, devices, batches):
  tx = optimizer.make_optimizer(config)
  step = train_step.make_train_step(config, tx, devices, joints=16)
  state = train_step.create_train_state(config, tx, joints=16)
  if config.model.dtype == 'float64':
    state = state.replace(variables=jax.tree.map(np.float64, state.variables))
  state = train_step.replicate(state, devices)
  for batch in batches:
    batch = train_step.split(batch, devices)
    state, metrics = step(state, batch, np.zeros(len(devices), bool))
  return train_step.fetch(state), jax.device_get(metrics)


def ready(config, devices):
  """A step, the state before the first, and a batch."""
  tx = optimizer.make_optimizer(config)
  state = train_step.create_train_state(config, tx, joints=16)
  return (
    train_step.make_train_step(config, tx, devices, joints=16),
    train_step.replicate(state, devices),
    train_step.split(random_batch(), devices),
  )


def test_four_devices_train_as_one_does():
  # With SGD, as Adam divides rounding noise by itself (SPEC 7.23); and in
  # float64, as batch statistics of few pixels magnify it.
  batches = [random_batch(seed=seed) for seed in range(2)]
  config = tiny_config(model=Model(stacks=1, features=8, dtype='float64'))
  with jax.enable_x64(True):
    one, one_metrics = run_steps(config, jax.local_devices()[:1], batches)
    four, four_metrics = run_steps(config, jax.local_devices(), batches)
  assert one.step == four.step == 2
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7),
    one.variables,
    four.variables,
  )
  assert one_metrics['loss'] == pytest.approx(four_metrics['loss'], rel=1e-7)


def test_statistics_per_device_are_those_of_its_part_of_the_batch():
  # Two devices that see the same pictures have the statistics of one that
  # sees them, synced or not. Where they see others, the variance within each
  # part is not that of the whole.
  same = {k: np.concatenate([v, v]) for k, v in random_batch(2).items()}
  other = random_batch(4)
  other['image'][:2] //= np.uint8(4)
  variances = {}
  for sync in (True, False):
    config = tiny_config(
      model=Model(stacks=1, features=8, sync_batch_norm=sync)
    )
    for name, batch in {'same': same, 'other': other}.items():
      state, _ = run_steps(config, jax.local_devices()[:2], [batch])
      statistics = state.variables['batch_stats']['stem']['norm']
      # A tenth of the batch's, nine of the 1 before.
      variances[name, sync] = statistics['var'] - 0.9
  np.testing.assert_allclose(
    variances['same', True], variances['same', False], rtol=1e-4
  )
  between = variances['other', True] - variances['other', False]
  assert (between > -1e-6).all() and between.max() > 1e-3


def test_the_sum_over_stacks_is_their_number_times_the_mean():
  # Newell's loss is S times the port's (SPEC 3).
  losses = {}
  for loss in ('mean', 'sum'):
    config = tiny_config(loss=loss, model=Model(stacks=2, features=8))
    _, metrics = run_steps(config, jax.local_devices(), [random_batch()])
    losses[loss] = metrics
  for name in ('loss', 'zero_loss'):
    assert losses['sum'][name] == pytest.approx(2 * losses['mean'][name])


def test_the_zero_loss_is_the_targets_mean_square():
  batch = random_batch()
  config = tiny_config()
  _, metrics = run_steps(config, jax.local_devices(), [batch])
  expected = np.square(batch['heatmaps']).mean()
  assert metrics['zero_loss'] == pytest.approx(expected, rel=1e-6)


def test_the_second_step_does_not_compile_again(caplog):
  config = tiny_config(ema_decay=0.9)
  devices = jax.local_devices()
  step, state, batch = ready(config, devices)
  nobody = np.zeros(len(devices), bool)
  state, _ = step(state, batch, nobody)
  with jax.log_compiles(), caplog.at_level('WARNING'):
    caplog.clear()
    step(state, batch, nobody)
  assert not [r for r in caplog.records if 'Compiling' in r.getMessage()]


def test_the_loss_is_of_all_stacks_and_each_stacks_is_told():
  config = tiny_config(model=Model(stacks=2, features=8))
  _, metrics = run_steps(config, jax.local_devices(), [random_batch()])
  assert metrics['stack_loss'].shape == (2,)
  assert metrics['loss'] == pytest.approx(metrics['stack_loss'].mean())


def test_the_gradient_norm_is_the_length_of_an_sgd_step_over_the_rate():
  config = tiny_config()
  tx = optimizer.make_optimizer(config)
  before = train_step.create_train_state(config, tx, joints=16).variables[
    'params'
  ]
  state, metrics = run_steps(config, jax.local_devices(), [random_batch()])
  squares = jax.tree.map(
    lambda a, b: np.sum(np.square(a - b)), before, state.variables['params']
  )
  length = np.sqrt(sum(jax.tree.leaves(squares)))
  assert metrics['gradient_norm'] == pytest.approx(length / 0.1, rel=1e-3)


def test_a_batch_accumulated_over_equal_parts_steps_as_one_part():
  # Each part has the statistics of the whole, as both see the same pictures.
  part = random_batch(4)
  whole = {name: np.concatenate([v, v]) for name, v in part.items()}
  devices = jax.local_devices()[:2]
  # A device takes two pictures twice: its share is in the batch's order.
  whole = {
    name: array[[0, 1, 0, 1, 2, 3, 2, 3]] for name, array in whole.items()
  }
  double = Model(stacks=1, features=8, dtype='float64')
  with jax.enable_x64(True):
    once, _ = run_steps(tiny_config(model=double), devices, [part])
    config = tiny_config(model=double, batch_size=8, accumulate_steps=2)
    twice, _ = run_steps(config, devices, [whole])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9),
    once.variables['params'],
    twice.variables['params'],
  )
  # The running mean moved twice: from 0 by a tenth, then by a tenth of the
  # rest.
  one, two = (s.variables['batch_stats']['stem']['norm'] for s in (once, twice))
  np.testing.assert_allclose(two['mean'], 1.9 * one['mean'], rtol=1e-6)


def test_the_average_of_weights_that_stay_is_those_weights():
  config = tiny_config(
    optimizer=Optimizer(name='sgd', learning_rate=0.0), ema_decay=0.5
  )
  batches = [random_batch(seed=seed) for seed in range(2)]
  state, _ = run_steps(config, jax.local_devices(), batches)
  jax.tree.map(
    np.testing.assert_array_equal,
    state.ema['params'],
    state.variables['params'],
  )


def test_the_average_moves_by_what_its_decay_leaves():
  # Of 0 towards 1; early, the decay is (1 + step) / (10 + step).
  zero, one = {'w': np.float32(0)}, {'w': np.float32(1)}
  first = train_step.update_ema(zero, one, decay=0.99, step=0)
  assert first['w'] == pytest.approx(0.9)
  late = train_step.update_ema(zero, one, decay=0.99, step=10**6)
  assert late['w'] == pytest.approx(0.01)


def test_one_process_asked_to_stop_is_known_to_all_devices():
  config = tiny_config()
  devices = jax.local_devices()
  step, state, batch = ready(config, devices)
  _, metrics = step(state, batch, np.array([False, True, False, False]))
  assert metrics['stop'] == 1


@pytest.mark.parametrize(
  'scan, remat', [(True, False), (False, True), (True, True)]
)
def test_scan_and_remat_train_as_neither_does(scan, remat):
  # Three stacks: two that hand on, and the last, which has no weights to.
  batches = [random_batch(seed=seed) for seed in range(2)]
  states = []
  with jax.enable_x64(True):
    for levers in ({}, {'scan': scan, 'remat': remat}):
      model = Model(stacks=3, features=8, dtype='float64', **levers)
      state, metrics = run_steps(
        tiny_config(model=model), jax.local_devices()[:2], batches
      )
      states.append((state.variables, metrics))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
    *states,
  )


def test_loss_of_known_joints_is_the_plain_mean_to_the_bit():
  rng = np.random.default_rng(0)
  heatmaps = rng.normal(size=(3, 2, 8, 8, 5)).astype(np.float32)
  targets = rng.normal(size=(3, 8, 8, 5)).astype(np.float32)

  def plain(heatmaps):
    error = jnp.square(heatmaps - targets[:, None])
    return error.mean(axis=(0, 2, 3, 4)).mean()

  def masked(heatmaps, known):
    return train_step.squared_error(heatmaps, targets, known).mean()

  known = np.ones((3, 5), bool)
  expected = jax.jit(jax.value_and_grad(plain))(heatmaps)
  found = jax.jit(jax.value_and_grad(masked))(heatmaps, known)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_loss_leaves_out_joints_that_are_not_known():
  heatmaps = np.ones((2, 1, 4, 4, 3), np.float32)
  targets = np.zeros((2, 4, 4, 3), np.float32)
  known = np.array([[True, False, True], [False, False, True]])
  loss, gradient = jax.value_and_grad(
    lambda x: train_step.squared_error(x, targets, known).sum()
  )(heatmaps)
  # Three of six joints are off by 1; all six count.
  assert loss == pytest.approx(3 / 6)
  used = np.asarray(gradient != 0).transpose(0, 4, 1, 2, 3)
  np.testing.assert_array_equal(used.all(axis=(2, 3, 4)), known)
  np.testing.assert_array_equal(used.any(axis=(2, 3, 4)), known)
