import dataclasses
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.config import Config, Data, Evaluate, Model, Optimizer
from hg_jax.base.errors import UserError
from hg_jax.model import hourglass
from hg_jax.run import checkpoint, processes, run_config
from hg_jax.training import optimizer, train, train_step

pytestmark = pytest.mark.usefixtures('shallow', 'float64')

# One of two processes; `shallow` and in `float64`, as this process is.
PROGRAM = """
import pathlib, sys
import jax, numpy as np
from hg_jax.evaluation import report
from hg_jax.model import hourglass
from hg_jax.run import processes, run_config
from hg_jax.training import train
hourglass.DEPTH = 1
jax.config.update('jax_enable_x64', True)
draw = hourglass.create_variables
hourglass.create_variables = lambda *a: jax.tree.map(np.float64, draw(*a))
workdir = pathlib.Path(sys.argv[1])
with processes.joined():
  config = run_config.load(workdir)
  config.model.dtype = 'float64'  # no user's, so none of a saved config
  train.train_and_evaluate(config, workdir)
  # The second one's machine has no folder of the run.
  folder = workdir if processes.is_first_process() else workdir / 'none'
  report.evaluate_run(
    folder, config, which='latest', split='valid', output=workdir
  )
"""


@pytest.fixture(scope='module')
def float64():
  """Weights and computation of float64.

  The order of sums over devices differs, and batch statistics of few pixels
  magnify float32's rounding of it tenfold a step.
  """
  draw = hourglass.create_variables
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      hourglass,
      'create_variables',
      lambda *arguments: jax.tree.map(np.float64, draw(*arguments)),
    )
    jax.config.update('jax_enable_x64', True)
    yield
    jax.config.update('jax_enable_x64', False)


def tiny_config(folder, **settings) -> Config:
  return Config(
    **{
      'model': Model(stacks=1, features=8, dtype='float64'),
      'data': Data(dir=str(folder), image_size=64, resident=True),
      'optimizer': Optimizer(name='sgd', learning_rate=0.01),
      'evaluate': Evaluate(batch_size=2, figures=0),
      'batch_size': 8,
      'steps': 4,
      'log_every': 2,
      'evaluate_every': 4,
    }
    | settings
  )


def start(program, *arguments, devices=(2, 2), **variables):
  """Starts as many processes as `devices`, of which each has so many."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  return [
    subprocess.Popen(
      [sys.executable, '-c', program, *map(str, arguments)],
      env=os.environ
      | {
        'XLA_FLAGS': f'--xla_force_host_platform_device_count={count}',
        'JAX_COORDINATOR_ADDRESS': f'localhost:{port}',
        'JAX_NUM_PROCESSES': str(len(devices)),
        'JAX_PROCESS_ID': str(process),
      }
      | variables,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for process, count in enumerate(devices)
  ]


def last_state(config, workdir):
  checkpoints = checkpoint.Checkpoints(workdir)
  like = train_step.create_train_state(
    config, optimizer.make_optimizer(config), joints=16
  )
  state = checkpoints.restore(checkpoints.latest(), like)
  checkpoints.close()
  return state


@pytest.fixture(scope='module')
def half_by_two(shallow, float64, prepared, tmp_path_factory):
  """A run of two processes of two devices each, as far as step 2."""
  workdir = tmp_path_factory.mktemp('two')
  config = tiny_config(prepared, steps=2)
  config.model.dtype = 'float32'
  run_config.save(workdir, config, SKELETON)
  cache = tmp_path_factory.mktemp('compiled')
  two = start(PROGRAM, workdir, JAX_COMPILATION_CACHE_DIR=str(cache))
  outputs = [process.communicate(timeout=300) for process in two]
  assert [process.returncode for process in two] == [0, 0], outputs
  return workdir, outputs


def test_two_processes_train_as_one(half_by_two, prepared, tmp_path):
  # And one goes on with their run. As SGD does; Adam turns rounding noise into
  # steps (SPEC 7.23).
  workdir, _ = half_by_two
  config = tiny_config(prepared)
  train.train_and_evaluate(dataclasses.replace(config, steps=2), tmp_path)

  def assert_same():
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10),
      last_state(config, workdir).variables,
      last_state(config, tmp_path).variables,
    )

  assert_same()
  for folder in (workdir, tmp_path):
    train.train_and_evaluate(config, folder)
  assert_same()


def test_is_first_process_alone_writes(half_by_two):
  workdir, ((first, _), (second, _)) = half_by_two
  assert 'step 2  loss' in first and 'PCKh@0.5' in first
  assert 'step' not in second
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  assert len(lines) == len(set(lines))
  assert (workdir / 'results.json').exists()
  assert not (workdir / 'none').exists()


# Process 1 comes to an end in the middle of what the two do together.
ENDING = """
import os, signal, sys, jax, numpy as np
from hg_jax.base.errors import UserError
from hg_jax.run import processes
with processes.joined(heartbeat_timeout=5):
  processes.all_gather(np.int32(0))
  if jax.process_index() == 1:
    if sys.argv[1] in ('SIGKILL', 'SIGSTOP'):
      os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    errors = {'a': ValueError, 'b': UserError, 'c': OSError}
    raise errors[sys.argv[1]]('planted')
  processes.all_gather(np.int32(0))
"""


@pytest.mark.parametrize('error', ['a', 'b', 'c'])
def test_joined_ends_all_when_one_fails(error):
  two = start(ENDING, error)
  _, second = (process.communicate(timeout=90)[1] for process in two)
  assert all(process.returncode != 0 for process in two)
  assert 'error: process 1: planted' in second.splitlines()
  assert ('Traceback' in second) == (error != 'b')


def test_joined_ends_when_another_process_is_killed():
  first, gone, third = start(ENDING, 'SIGKILL', devices=[1] * 3)
  for process in (first, third, gone):
    process.communicate(timeout=90)
    assert process.returncode != 0


# The first process, which the others meet through, comes to an end.
FIRST_ENDS = """
import os, signal, sys, jax, numpy as np
from hg_jax.run import processes
with processes.joined(heartbeat_timeout=5):
  processes.all_gather(np.int32(0))
  if jax.process_index() == 0:
    os.kill(os.getpid(), signal.SIGKILL)
  processes.all_gather(np.int32(0))
"""


def test_joined_ends_when_the_first_process_is_killed():
  for process in start(FIRST_ENDS, devices=[1] * 3):
    process.communicate(timeout=90)
    assert process.returncode != 0


def test_joined_refuses_unequal_numbers_of_devices():
  two = start(ENDING, 'a', devices=(2, 1))
  outputs = [process.communicate(timeout=60)[1] for process in two]
  assert all(process.returncode != 0 for process in two)
  for output in outputs:
    assert 'process 0 has 2, process 1 has 1' in output
    assert 'Traceback' not in output


# Two processes that were given something different.
DIFFERENT = """
import jax
from hg_jax.run import processes
with processes.joined():
  made = processes.json_from_first(lambda: [jax.process_index(), 'a'])
  assert made == [0, 'a'], made
  processes.require_same({'--mode': 'train', 'config.x': (1, 2)})
  processes.require_same({'config.y': jax.process_index()})
"""


def test_require_same_names_what_is_different():
  two = start(DIFFERENT)
  first, second = (process.communicate(timeout=60)[1] for process in two)
  assert [process.returncode for process in two] == [1, 1]
  assert 'process 0: another process was given other settings' in first
  assert 'process 1: config.y = 1, process 0 has 0; give all the same' in second


def test_joined_passes_by_empty_variables(monkeypatch):
  for name in ('SLURM_STEP_NUM_TASKS', 'JAX_NUM_PROCESSES'):
    monkeypatch.setenv(name, '')
  with processes.joined():
    assert processes.is_first_process()


def test_joined_names_what_describes_others(monkeypatch, capsys):
  monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '4')  # left by `srun --pty`
  with pytest.raises(UserError, match='to run alone, unset these'):
    with processes.joined():
      pass
  assert 'SLURM_STEP_NUM_TASKS=4' in capsys.readouterr().err


@pytest.mark.parametrize(
  'environment, message',
  [
    (
      {'JAX_NUM_PROCESSES': '2', 'JAX_PROCESS_ID': '0'},
      'but not JAX_COORDINATOR_ADDRESS',
    ),
    (
      {
        'JAX_COORDINATOR_ADDRESS': 'here:1',
        'JAX_NUM_PROCESSES': '2',
        'JAX_PROCESS_ID': '2',
      },
      'JAX_NUM_PROCESSES=2 JAX_PROCESS_ID=2: these must be',
    ),
    (
      {
        'JAX_COORDINATOR_ADDRESS': 'here',
        'JAX_NUM_PROCESSES': '2',
        'JAX_PROCESS_ID': '1',
      },
      'JAX_COORDINATOR_ADDRESS=here .*must be host:port',
    ),
    (
      {
        'JAX_COORDINATOR_ADDRESS': 'here:65536',
        'JAX_NUM_PROCESSES': '2',
        'JAX_PROCESS_ID': '0',
      },
      'JAX_COORDINATOR_ADDRESS=here:65536 .*must be host:port',
    ),
  ],
)
def test_joined_refuses_half_a_description(monkeypatch, environment, message):
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  with pytest.raises(UserError, match=message), processes.joined():
    pass
