import dataclasses
import itertools
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.config import Augment, Config, Data, Evaluate, Model, Optimizer
from hg_jax.base.errors import UserError
from hg_jax.evaluation import evaluate
from hg_jax.input import examples, records
from hg_jax.run import checkpoint, run_config, writer
from hg_jax.training import health, optimizer, train, train_step

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


def test_check_devices_refuses_an_unequal_share():
  with pytest.raises(UserError, match='batch_size is 6, which 4 devices'):
    train.check_devices(tiny_config(batch_size=6))


@pytest.fixture(scope='module')
def finished(shallow, prepared, tmp_path_factory):
  """A run of Adam, uninterrupted."""
  config = tiny_config(
    prepared, optimizer=Optimizer(name='adam', learning_rate=1e-3)
  )
  workdir = tmp_path_factory.mktemp('finished')
  run_config.save(workdir, config, SKELETON)
  train.train_and_evaluate(config, workdir)
  return config, workdir


def last_state(config, workdir):
  tx = optimizer.make_optimizer(config)
  checkpoints = checkpoint.Checkpoints(workdir)
  state = checkpoints.restore(
    checkpoints.latest(), train_step.create_train_state(config, tx, joints=16)
  )
  checkpoints.close()
  return state


def test_resume_equals_uninterrupted_training(finished, tmp_path):
  config, workdir = finished
  # 3 is no multiple of checkpoint_every: the end of a run is always saved.
  train.train_and_evaluate(dataclasses.replace(config, steps=3), tmp_path)
  train.train_and_evaluate(config, tmp_path)
  jax.tree.map(
    np.testing.assert_array_equal,
    last_state(config, workdir),
    last_state(config, tmp_path),
  )


def test_metrics_have_every_number_promised(finished):
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


def test_checkpoints_keep_the_best_and_the_last_two(finished):
  _, workdir = finished
  checkpoints = checkpoint.Checkpoints(workdir)
  assert set(checkpoints.steps()) >= {4, 6}
  assert checkpoints.latest() == 6
  assert checkpoints.best() in (4, 6)
  checkpoints.close()


def test_require_same_run_names_what_differs(finished):
  config, workdir = finished
  longer = dataclasses.replace(config, steps=1000)
  run_config.require_same_run(workdir, longer)
  other = dataclasses.replace(config, model=Model(stacks=3, features=8))
  with pytest.raises(UserError, match=r'model.stacks = 1 \(now 3\)'):
    run_config.require_same_run(workdir, other)
  other = dataclasses.replace(config, optimizer=Optimizer(), seed=1)
  with pytest.raises(UserError, match=r'seed = 0 \(now 1\)'):
    run_config.require_same_run(workdir, other)


def test_load_config_inverts_save_config(finished):
  config, workdir = finished
  assert run_config.load(workdir) == config


@pytest.mark.parametrize(
  ('crop_size', 'image_size', 'problem'),
  [
    (448, 256, None),
    (448, 64, 'without aliasing, from smaller ones; prepare with --size=112'),
    (448, 384, 'inputs are blurred; prepare with --size=672'),
  ],
)
def test_crop_size_problem_names_the_suitable_size(
  crop_size, image_size, problem
):
  actual = train.crop_size_problem(crop_size, image_size)
  assert (actual is None) == (problem is None)
  assert problem is None or problem in actual


def test_init_from_begins_with_the_best_weights(finished, prepared, tmp_path):
  config, workdir = finished
  # At a rate of 0 the weights stay; the running statistics do not.
  still = dataclasses.replace(
    config,
    init_from=str(workdir),
    optimizer=Optimizer(name='sgd', learning_rate=0.0),
    steps=1,
  )
  train.train_and_evaluate(still, tmp_path)
  best = checkpoint.Checkpoints(workdir)
  step = best.best()
  variables = best.restore_weights(
    step, last_state(config, workdir).variables, ema=False
  )
  best.close()
  jax.tree.map(
    np.testing.assert_array_equal,
    last_state(still, tmp_path).variables['params'],
    variables['params'],
  )
  other = dataclasses.replace(still, model=Model(stacks=1, features=12))
  with pytest.raises(UserError, match=r'model.features = 8 \(now 12\)'):
    train.train_and_evaluate(other, tmp_path / 'other')


def test_a_planted_nan_is_named_with_its_people(finished, prepared, tmp_path):
  config, workdir = finished
  shutil.copytree(workdir, tmp_path / 'run')
  checkpoints = checkpoint.Checkpoints(tmp_path / 'run', writable=True)
  state = last_state(config, workdir)
  kernel = state.variables['params']['stem']['conv']['kernel']
  kernel[0, 0, 0, 0] = np.nan
  checkpoints.save(state.replace(step=np.int32(7)))
  checkpoints.close()
  longer = dataclasses.replace(config, steps=20)
  with pytest.raises(UserError, match='step 8: the loss is nan') as told:
    train.train_and_evaluate(longer, tmp_path / 'run')
  crops = records.read(prepared, 'train')
  shown = examples.training(crops, config, first=7 * 4, count=4)
  for row in shown.row:
    assert crops.people.image[row] in str(told.value)
  assert 'the last good checkpoint is of step 7' in str(told.value)


def test_out_of_memory_names_the_levers(finished, tmp_path, monkeypatch):
  def exhausted(*_):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')

  monkeypatch.setattr(
    train.train_step, 'make_train_step', lambda *_, **__: exhausted
  )
  config, _ = finished
  with pytest.raises(UserError, match='batch_size=4 .*accumulate_steps=2'):
    train.train_and_evaluate(config, tmp_path)


def test_sigterm_saves_the_current_step(finished, tmp_path, monkeypatch):
  config, workdir = finished
  add = health.TrainingMonitor.add

  def signal_at_step_1(self, step, metrics):
    if step == 1:
      os.kill(os.getpid(), signal.SIGTERM)
    add(self, step, metrics)

  monkeypatch.setattr(health.TrainingMonitor, 'add', signal_at_step_1)
  with pytest.raises(train.Stopped, match='stopped at step 2') as stopped:
    train.train_and_evaluate(config, tmp_path)
  assert stopped.value.signal == signal.SIGTERM
  train.train_and_evaluate(config, tmp_path)
  jax.tree.map(
    np.testing.assert_array_equal,
    last_state(config, workdir),
    last_state(config, tmp_path),
  )


def test_a_signal_during_the_last_save_ends_the_program(
  finished, tmp_path, monkeypatch
):
  # The report would take longer than a cluster waits.
  config, _ = finished
  save = checkpoint.Checkpoints.save

  def signal_in_the_last(self, state, scores):
    if state.step == config.steps:
      os.kill(os.getpid(), signal.SIGTERM)
    save(self, state, scores)

  monkeypatch.setattr(checkpoint.Checkpoints, 'save', signal_in_the_last)
  with pytest.raises(train.Stopped, match=f'stopped at step {config.steps}'):
    train.train_and_evaluate(config, tmp_path)
  train.train_and_evaluate(config, tmp_path)


@pytest.mark.usefixtures('default_signals')
@pytest.mark.parametrize('during', [4, 6])
def test_a_signal_ends_an_evaluation_and_resume_makes_it(
  finished, tmp_path, monkeypatch, during
):
  config, workdir = finished
  # 6 is the last step.
  evaluations = itertools.count(4, 2)
  run = evaluate.Evaluator.run

  def signal_in_it(self, variables, *, stopped):
    if next(evaluations) == during:
      os.kill(os.getpid(), signal.SIGINT)
    return run(self, variables, stopped=stopped)

  monkeypatch.setattr(evaluate.Evaluator, 'run', signal_in_it)
  with pytest.raises(train.Stopped, match=f'stopped at step {during}'):
    train.train_and_evaluate(config, tmp_path)
  train.train_and_evaluate(config, tmp_path)
  jax.tree.map(
    np.testing.assert_array_equal,
    last_state(config, workdir),
    last_state(config, tmp_path),
  )
  for folder in (workdir, tmp_path):
    records = writer.read_metrics(folder / 'metrics.jsonl')
    assert [r['step'] for r in records if r['kind'] == 'valid'] == [4, 6]
  checkpoints = checkpoint.Checkpoints(tmp_path)
  assert all(checkpoints.evaluated(step) for step in (4, 6))
  checkpoints.close()
