"""Kills a run many times, and compares its end with that of one left alone.

  python tests/soak.py --kills=50

Not a test: it takes some ten seconds a kill. Every other kill waits for a
checkpoint that is being written; the rest come at random times, also while
the run starts. At the end all arrays of the two last checkpoints must be
equal to the bit, and metrics.jsonl must hold every record once.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from hg_jax import prepare
from hg_jax.base.config import Config, Data, Evaluate, Model, Optimizer
from hg_jax.model import hourglass
from hg_jax.run import checkpoint
from hg_jax.training import optimizer, train_step

# Hourglasses that halve once compile faster; `resident` spares TensorFlow.
PROGRAM = """
import pathlib, sys
from hg_jax import main
from hg_jax.base import config
from hg_jax.model import hourglass
hourglass.DEPTH = 1
workdir = pathlib.Path(sys.argv[1])
settings = config.from_json((workdir / 'settings.json').read_text())
main.train_run(settings, workdir)
"""


def start(config: Config, workdir: Path, cache: Path) -> subprocess.Popen:
  from hg_jax.base import config as config_lib

  workdir.mkdir(exist_ok=True)
  (workdir / 'settings.json').write_text(config_lib.to_json(config))
  return subprocess.Popen(
    [sys.executable, '-c', PROGRAM, str(workdir)],
    env=os.environ
    | {
      'JAX_COMPILATION_CACHE_DIR': str(cache),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    },
    stdout=(workdir / 'log').open('a'),
    stderr=subprocess.STDOUT,
  )


def saves(workdir: Path) -> set[int]:
  """The inodes of checkpoints that are being written, or were at a kill."""
  folders = (workdir / 'checkpoints').glob('*.orbax-checkpoint-tmp*')
  inodes = set()
  for folder in folders:
    with contextlib.suppress(FileNotFoundError):  # It is whole by now.
      inodes.add(folder.stat().st_ino)
  return inodes


def seconds_to_first_save(run: subprocess.Popen, workdir: Path) -> float:
  began = time.monotonic()
  while run.poll() is None and not saves(workdir):
    time.sleep(0.01)
  return time.monotonic() - began


def kill_at_some_time(
  run: subprocess.Popen,
  workdir: Path,
  leftover: set[int],
  longest: float,
  in_save: bool,
) -> bool | None:
  """Whether a checkpoint was being written then; None: the run was done."""
  wait = random.uniform(0, longest)
  began = time.monotonic()
  while run.poll() is None:
    if in_save and saves(workdir) - leftover:
      time.sleep(random.uniform(0, 0.05))
      break
    if not in_save and time.monotonic() > began + wait:
      break
    time.sleep(0.001)
  if run.poll() is not None:
    if run.returncode:
      sys.exit(f'the run failed:\n{(workdir / "log").read_text()[-3000:]}')
    return None
  during = bool(saves(workdir) - leftover)
  run.kill()
  run.wait()
  return during


def last_state(config: Config, workdir: Path):
  checkpoints = checkpoint.Checkpoints(workdir)
  like = train_step.create_train_state(
    config, optimizer.make_optimizer(config), joints=16
  )
  state = checkpoints.restore(checkpoints.latest(), like)
  checkpoints.close()
  return state


def check(config: Config, killed: Path, alone: Path) -> None:
  states = [last_state(config, workdir) for workdir in (killed, alone)]
  jax.tree.map(np.testing.assert_array_equal, *states)
  assert states[0].step == config.steps
  # A record of training is the mean of the steps since the last one, or since
  # the run went on, so only those of evaluations must be equal in all.
  records = [
    [
      (record['step'], record['kind'], record['kind'] == 'train' or record)
      for record in map(json.loads, (workdir / 'metrics.jsonl').open())
    ]
    for workdir in (killed, alone)
  ]
  assert records[0] == records[1]
  arrays = len(jax.tree.leaves(states[0]))
  print(f'{arrays} arrays and {len(records[0])} records are equal')


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--kills', type=int, default=50)
  parser.add_argument('--steps', type=int, default=2000)
  parser.add_argument('--seed', type=int, default=0)
  arguments = parser.parse_args()
  random.seed(arguments.seed)
  hourglass.DEPTH = 1
  folder = Path(tempfile.mkdtemp(prefix='soak-'))
  print(f'in {folder}')
  prepare.prepare_synthetic(folder / 'data', 30, image_size=64)
  config = Config(
    model=Model(stacks=1, features=8),
    data=Data(dir=str(folder / 'data'), image_size=64, resident=True),
    optimizer=Optimizer(name='adam', learning_rate=1e-3),
    evaluate=Evaluate(batch_size=8, figures=0),
    batch_size=4,
    steps=arguments.steps,
    log_every=5,
    checkpoint_every=max(arguments.steps // 100, 1),
    evaluate_every=max(arguments.steps // 10, 1),
    ema_decay=0.9,
  )
  began = time.monotonic()
  alone = start(config, folder / 'alone', folder / 'compiled')
  starting = seconds_to_first_save(alone, folder / 'alone')
  assert alone.wait() == 0, (folder / 'alone' / 'log').read_text()
  print(f'left alone, it took {time.monotonic() - began:.0f} s')
  kills = in_saves = 0
  workdir = folder / 'killed'
  while kills < arguments.kills:
    leftover = saves(workdir)
    run = start(config, workdir, folder / 'compiled')
    during = kill_at_some_time(
      run, workdir, leftover, starting + 15, in_save=kills % 2 == 0
    )
    if during is None:
      sys.exit(f'done after {kills} kills: give more --steps')
    kills += 1
    in_saves += during
    steps = [
      int(folder.name)
      for folder in (workdir / 'checkpoints').glob('*')
      if folder.name.isdecimal()
    ]
    print(f'kill {kills}: {in_saves} in saves; at step {max(steps, default=0)}')
  assert start(config, workdir, folder / 'compiled').wait() == 0
  check(config, workdir, folder / 'alone')


if __name__ == '__main__':
  main()
