import dataclasses
import json

import jax
import numpy as np
import pytest

from hg_jax import checkpoint, hourglass, optimizer, train
from hg_jax import config as config_lib
from hg_jax.command import UserError
from hg_jax.config import Augment, Config, Data, Evaluate, Model, Optimizer

pytestmark = pytest.mark.usefixtures('shallow')

SIZE = 64


def tiny_config(folder='nowhere', **settings) -> Config:
  """A network of 8 features, and few steps."""
  return Config(
    **{
      'model': Model(stacks=1, features=8),
      'data': Data(dir=str(folder), image_size=SIZE),
      'augment': Augment(rotation=20.0),
      'optimizer': Optimizer(name='sgd', learning_rate=0.1),
      'evaluate': Evaluate(batch_size=8, figures=0),
      'batch_size': 4,
      'steps': 6,
      'log_every': 2,
      'checkpoint_every': 2,
      'evaluate_every': 4,
    }
    | settings
  )


def random_batch(count=4, seed=0) -> train.Batch:
  rng = np.random.default_rng(seed)
  heatmaps = rng.uniform(size=(count, SIZE // 4, SIZE // 4, 16))
  return {
    'image': rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8),
    'heatmaps': heatmaps.astype(np.float32),
  }


def run_steps(config, devices, batches):
  tx = optimizer.make_optimizer(config.optimizer)
  model = hourglass.create_model(config)
  step = train.make_train_step(model, tx, config.loss, devices)
  state = train.create_train_state(config, tx)
  if config.model.dtype == 'float64':
    state = state.replace(variables=jax.tree.map(np.float64, state.variables))
  state = train.replicate(state, devices)
  for batch in batches:
    state, metrics = step(state, train.split(batch, devices))
  return jax.device_get(state), jax.device_get(metrics)


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
  config = tiny_config()
  tx = optimizer.make_optimizer(config.optimizer)
  devices = jax.local_devices()
  model = hourglass.create_model(config)
  step = train.make_train_step(model, tx, 'mean', devices)
  state = train.replicate(train.create_train_state(config, tx), devices)
  batch = train.split(random_batch(), devices)
  state, _ = step(state, batch)
  with jax.log_compiles(), caplog.at_level('WARNING'):
    caplog.clear()
    step(state, batch)
  assert not [r for r in caplog.records if 'Compiling' in r.getMessage()]


def test_a_batch_that_devices_cannot_share_is_refused():
  with pytest.raises(UserError, match='batch_size is 6, which 4 devices'):
    train.check_devices(tiny_config(batch_size=6))


@pytest.fixture(scope='module')
def finished(shallow, prepared, tmp_path_factory):
  """A run of Adam, uninterrupted."""
  config = tiny_config(
    prepared, optimizer=Optimizer(name='adam', learning_rate=1e-3)
  )
  workdir = tmp_path_factory.mktemp('finished')
  checkpoint.save_config(workdir, config)
  train.train_and_evaluate(config, workdir)
  return config, workdir


def last_state(config, workdir):
  tx = optimizer.make_optimizer(config.optimizer)
  checkpoints = checkpoint.Checkpoints(workdir)
  state = checkpoints.restore(
    checkpoints.latest(), train.create_train_state(config, tx)
  )
  checkpoints.close()
  return state


def test_a_run_cut_in_two_ends_as_an_uninterrupted_one(finished, tmp_path):
  config, workdir = finished
  # 3 is no multiple of checkpoint_every: the end of a run is always saved.
  train.train_and_evaluate(dataclasses.replace(config, steps=3), tmp_path)
  train.train_and_evaluate(config, tmp_path)
  jax.tree.map(
    np.testing.assert_array_equal,
    last_state(config, workdir),
    last_state(config, tmp_path),
  )


def test_the_log_has_every_number_that_is_promised(finished):
  _, workdir = finished
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  records = [json.loads(line) for line in lines]
  steps = {
    kind: [r['step'] for r in records if r['kind'] == kind]
    for kind in ('train', 'valid')
  }
  assert steps == {'train': [2, 4, 6], 'valid': [4, 6]}
  assert records[0].keys() >= {
    'loss',
    'skill',
    'learning_rate',
    'images_per_second',
    'waiting_for_data',
  }
  assert records[-1].keys() >= {'loss', 'skill', 'all_joints', 'standard'}
  assert list((workdir / 'tensorboard').glob('events.*'))


def test_the_best_and_the_last_two_checkpoints_stay(finished):
  _, workdir = finished
  checkpoints = checkpoint.Checkpoints(workdir)
  assert set(checkpoints.steps()) >= {4, 6}
  assert checkpoints.latest() == 6
  assert checkpoints.best() in (4, 6)
  checkpoints.close()


def test_settings_that_make_another_run_are_named(finished):
  config, workdir = finished
  longer = dataclasses.replace(config, steps=1000)
  checkpoint.require_same_run(workdir, longer)
  other = dataclasses.replace(config, model=Model(stacks=3, features=8))
  with pytest.raises(UserError, match=r'model.stacks = 1 \(now 3\)'):
    checkpoint.require_same_run(workdir, other)
  with pytest.raises(UserError, match=r'model.stacks = 1 \(now 3\)'):
    checkpoint.require_same_network(workdir, other)
  # The network is the same however it was trained.
  other = dataclasses.replace(config, optimizer=Optimizer(), seed=1)
  checkpoint.require_same_network(workdir, other)
  with pytest.raises(UserError, match=r'seed = 0 \(now 1\)'):
    checkpoint.require_same_run(workdir, other)


def test_a_config_survives_its_json(finished):
  config, workdir = finished
  assert checkpoint.load_config(workdir) == config
  with pytest.raises(UserError, match='another version'):
    config_lib.from_json('{"seed": 0}')
