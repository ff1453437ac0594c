import dataclasses
import json

import jax
import numpy as np
import pytest

from hg_jax import checkpoint, optimizer, train, train_step
from hg_jax import config as config_lib
from hg_jax.command import UserError
from hg_jax.config import Augment, Config, Data, Evaluate, Model, Optimizer

pytestmark = pytest.mark.usefixtures('shallow')


def tiny_config(folder='nowhere', **settings) -> Config:
  """A network of 8 features, and few steps."""
  return Config(
    **{
      'model': Model(stacks=1, features=8),
      'data': Data(dir=str(folder), image_size=64),
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
  tx = optimizer.make_optimizer(config)
  checkpoints = checkpoint.Checkpoints(workdir)
  state = checkpoints.restore(
    checkpoints.latest(), train_step.create_train_state(config, tx)
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
    'gradient_norm',
    'loss_stack0',
    'memory_gb',
    'recompilations',
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
