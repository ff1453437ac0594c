"""Times training, inference, evaluation and input on this machine.

  python -m hg_jax.benchmark --what=step [--config=configs/adam16.py] [--json]
  python -m hg_jax.benchmark --what=inference --stacks=2 --against=torch
  python -m hg_jax.benchmark --what=evaluate
  python -m hg_jax.benchmark --what=input [--data_dir=data/mpii]

`step`: the train step on pictures of noise, on all devices of this machine.
`inference`: from a batch of pictures to heatmaps, on one device.
`evaluate`: an evaluation, from prepared crops to counts.
`input`: making training batches on one core, in stages and as a whole, and
only decoding the same crops.

Things that are compared take turns, round by round, so that a busy machine
slows all of them. The results are medians over the rounds, and for ratios the
extremes too. `python -m hg_jax.compare A.json B.json` compares two results.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from hg_jax.base.command import define_config, given_config, run
from hg_jax.base.config import Config, check
from hg_jax.base.errors import UserError
from hg_jax.base.timing import spread, take_turns
from hg_jax.evaluation import evaluate, inference
from hg_jax.input import input_timing, records
from hg_jax.model import hourglass
from hg_jax.model.heatmaps import STRIDE
from hg_jax.training import health, optimizer, train, train_step
from hg_jax.training.torch_peer import TorchPeer

FLAGS = flags.FLAGS

_ROUND = 1.0  # s, the shortest round of steps


def define_flags() -> None:
  flags.DEFINE_enum(
    'what', 'input', ['step', 'inference', 'evaluate', 'input'], 'What to time.'
  )
  define_config('A file under configs/; the defaults, 8 stacks, without it.')
  for name, default, text in (
    ('stacks', None, "Replaces the config's."),
    ('features', None, "Replaces the config's."),
    ('image_size', None, "Replaces the config's, px."),
    ('batch', None, "Replaces the config's, over all devices."),
    ('joints', 16, 'The number of joints to find.'),
    ('rounds', 7, 'How often to repeat.'),
  ):
    flags.DEFINE_integer(name, default, text, lower_bound=1)
  flags.DEFINE_enum(
    'against', None, ['torch'], 'For step and inference: time PyTorch too.'
  )
  flags.DEFINE_string(
    'data_dir', None, 'Prepared people; by default crops of noise.'
  )
  flags.DEFINE_bool('json', False, 'Print JSON instead of a table.')


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  if FLAGS.against and FLAGS.what not in ('step', 'inference'):
    raise UserError('--against=torch is for --what=step and --what=inference.')
  if FLAGS.data_dir and FLAGS.what not in ('evaluate', 'input'):
    raise UserError('--data_dir is for --what=evaluate and --what=input.')
  if FLAGS.data_dir and FLAGS['joints'].present:
    raise UserError('give --joints or --data_dir, whose people have joints.')
  config = given_config() or Config()
  for name, (section, setting) in {
    'stacks': (config.model, 'stacks'),
    'features': (config.model, 'features'),
    'image_size': (config.data, 'image_size'),
    'batch': (config, 'batch_size'),
  }.items():
    if (value := FLAGS[name].value) is not None:
      setattr(section, setting, value)
  check(config)
  rounds, joints = FLAGS.rounds, FLAGS.joints
  if FLAGS.what == 'input':
    result = input_timing.measure_input(config, FLAGS.data_dir, rounds)
  elif FLAGS.what == 'evaluate':
    result = measure_evaluation(config, FLAGS.data_dir, rounds, joints=joints)
  else:
    torch = FLAGS.against == 'torch'
    result = measure_network(
      FLAGS.what, config, rounds, joints=joints, against_torch=torch
    )
  result = {'what': FLAGS.what, 'machine': machine(), **result}
  print(json.dumps(result, indent=2) if FLAGS.json else table(result))


def measure_network(
  what: str, config: Config, rounds: int, *, joints: int, against_torch: bool
) -> dict:
  """Times train steps or inference, and the same network in PyTorch.

  PyTorch is timed in both memory layouts, and on a CPU both with its default
  memory pages and with ours.
  """
  peers = {}
  if against_torch:
    on_cpu = jax.devices()[0].platform == 'cpu'
    for tuned in (False, True) if on_cpu else (True,):
      for layout, last in (('', False), (' channels_last', True)):
        name = f'torch{layout}{" our pages" if on_cpu and tuned else ""}'
        peers[name] = TorchPeer(
          what, config, joints=joints, channels_last=last, tuned=tuned
        )
  with tempfile.TemporaryDirectory() as folder:
    # The cache is empty, so that the time to compile is measured.
    jax.config.update('jax_compilation_cache_dir', folder)
    make = make_step if what == 'step' else make_inference
    call, facts = make(config, joints)
  contenders = {'hg_jax': call, **peers}
  steps = max(1, round(_ROUND / max(timed(1) for timed in contenders.values())))
  seconds = take_turns(
    {
      name: lambda timed=timed: timed(steps) / steps
      for name, timed in contenders.items()
    },
    rounds,
  )
  for peer in peers.values():
    peer.close()
  ours = seconds.pop('hg_jax')
  result = {
    **_settings(config),
    'rounds': rounds,
    'steps_per_round': steps,
    'seconds': spread(ours),
    'images_per_second': config.batch_size / statistics.median(ours),
    **facts,
  }
  if bytes_ := result.pop('bytes_accessed'):
    bound = bytes_ / copy_bandwidth(jax.local_devices()[0])
    result['share_of_memory_bound'] = bound / result['seconds']['median']
  for name, theirs in seconds.items():
    result[name] = {
      'images_per_second': config.batch_size / statistics.median(theirs),
      'speed_of_ours': spread(np.divide(theirs, ours).tolist()),
    }
  return result


def _settings(config: Config) -> dict:
  model = ('stacks', 'features', 'dtype', 'scan', 'remat')
  return {
    'device': jax.devices()[0].device_kind,
    'devices': jax.local_device_count(),
    'image_size': config.data.image_size,
    'batch_size': config.batch_size,
    'accumulate_steps': config.accumulate_steps,
    **{name: getattr(config.model, name) for name in model},
  }


def make_step(
  config: Config, joints: int
) -> tuple[Callable[[int], float], dict]:
  """Returns a function that times a number of updates, and facts about it.

  The batch travels to the devices with each step, as in training.
  """
  train.check_devices(config)
  config.data.resident = False
  devices = jax.local_devices()
  tx = optimizer.make_optimizer(config)
  step = train_step.make_train_step(config, tx, devices, joints=joints)
  state = train_step.replicate(
    train_step.create_train_state(config, tx, joints=joints), devices
  )
  batch = train_step.split(_noise(config, joints), devices)
  stop = np.zeros(len(devices), bool)
  facts = _compile(step, state, batch, stop)
  called = []  # s, the time of a call in the main thread

  def call(steps: int) -> float:
    nonlocal state
    before = time.perf_counter()
    for number in range(steps):
      state, metrics = step(state, batch, stop)
      if not number:
        called.append(time.perf_counter() - before)
    jax.block_until_ready(metrics)
    facts['call_ms'] = 1e3 * statistics.median(called[1:] or called)
    facts['peak_gb'] = health.memory() / 1e9
    return time.perf_counter() - before

  facts['first_call_s'] = call(1)
  return call, facts


def make_inference(
  config: Config, joints: int
) -> tuple[Callable[[int], float], dict]:
  """Returns a function that times a number of batches, and facts about it."""
  model = hourglass.create_model(config, joints=joints)
  variables = jax.device_put(
    hourglass.create_variables(model, config.seed, config.data.image_size)
  )
  infer = jax.jit(lambda v, x: inference.apply(model, v, x)[:, -1])
  image = _noise(config, joints)['image']
  facts = _compile(infer, variables, image)

  def call(steps: int) -> float:
    before = time.perf_counter()
    for _ in range(steps):
      heatmaps = infer(variables, image)
    jax.block_until_ready(heatmaps)
    return time.perf_counter() - before

  facts['first_call_s'] = call(1)
  return call, facts


def _compile(function: Any, *arguments: Any) -> dict:
  """Compiles a jitted function into the cache; returns the costs."""
  began = time.perf_counter()
  lowered = function.lower(*arguments)
  traced = time.perf_counter()
  compiled = lowered.compile()
  facts = {
    'trace_s': traced - began,
    'compile_s': time.perf_counter() - traced,
    'temporary_gb': compiled.memory_analysis().temp_size_in_bytes / 1e9,
    'bytes_accessed': None,
  }
  if jax.devices()[0].platform == 'gpu':
    facts['bytes_accessed'] = compiled.cost_analysis()['bytes accessed']
  return facts


def copy_bandwidth(device: jax.Device, size: int = 2**30) -> float:
  """Measures the bytes per second that a device reads and writes in a copy."""
  x = jax.device_put(jnp.zeros(size, jnp.uint8), device)
  copy = jax.jit(lambda x: x + 1)
  copy(x).block_until_ready()
  seconds = []
  for _ in range(5):
    before = time.perf_counter()
    copy(x).block_until_ready()
    seconds.append(time.perf_counter() - before)
  return 2 * size / min(seconds)


def _noise(config: Config, joints: int) -> train_step.Batch:
  size, count = config.data.image_size, config.batch_size
  rng = np.random.default_rng(0)
  side = size // STRIDE
  return {
    'image': rng.integers(0, 256, (count, size, size, 3), np.uint8),
    'heatmaps': rng.random((count, side, side, joints), np.float32),
    'known': np.ones((count, joints), bool),
  }


def measure_evaluation(
  config: Config, data_dir: str | None, rounds: int, *, joints: int
) -> dict:
  """Times evaluations, from crops on the devices to counts."""
  crops = (
    records.read(Path(data_dir), 'valid')
    if data_dir
    else input_timing.noise_crops(input_timing.PEOPLE, joints=joints)
  )
  config.data.resident = True  # This needs no TensorFlow.
  config.evaluate.batch_size = config.batch_size
  model = hourglass.create_model(config, joints=len(crops.skeleton.joints))
  evaluator = evaluate.Evaluator(model, config, crops)
  variables = hourglass.create_variables(
    model, config.seed, config.data.image_size
  )

  def call() -> float:
    before = time.perf_counter()
    evaluator.run(variables)
    return time.perf_counter() - before

  seconds = take_turns({'evaluate': call}, rounds)['evaluate']
  return {
    **_settings(config),
    'people': len(crops),
    'data': data_dir or 'noise',
    'flip_test': config.evaluate.flip_test,
    'rounds': rounds,
    'seconds': spread(seconds),
    'images_per_second': len(crops) / statistics.median(seconds),
  }


def table(result: dict) -> str:
  """Formats a result for a terminal."""
  return '\n'.join(
    f'{name.replace("_", " "):<24}{_short(value)}'
    for name, value in result.items()
  )


def _short(value: Any) -> str:
  if isinstance(value, dict):
    return ', '.join(f'{k} {_short(v)}' for k, v in value.items())
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def machine() -> dict[str, str | int]:
  """Describes the machine and the libraries that the numbers depend on."""
  model = platform.processor() or platform.machine()
  if (info := Path('/proc/cpuinfo')).exists():
    lines = info.read_text().splitlines()
    names = [s.split(':')[1].strip() for s in lines if s.startswith('model na')]
    model = names[0] if names else model
  return {
    'processor': model,
    'cores': os.cpu_count(),
    'system': platform.platform(),
    'python': platform.python_version(),
    'opencv': cv2.__version__,
    'numpy': np.__version__,
  }


if __name__ == '__main__':
  define_flags()
  run(main)
