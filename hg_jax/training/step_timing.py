"""Times the train step: `python -m hg_jax.benchmark --what=step`."""

import statistics
import time

import jax
import numpy as np
from tqdm import trange

from hg_jax.base.config import Config
from hg_jax.model.heatmaps import STRIDE
from hg_jax.training import health, optimizer, train, train_step

_STEPS = 3  # a round


def measure_step(config: Config, rounds: int, *, joints: int) -> dict:
  """Times updates on all devices here, on pictures of noise.

  The batch travels to the devices with each step, as it does in training.
  """
  train.check_devices(config)
  config.data.resident = False
  devices = jax.local_devices()
  tx = optimizer.make_optimizer(config)
  state = train_step.replicate(
    train_step.create_train_state(config, tx, joints=joints), devices
  )
  step = train_step.make_train_step(config, tx, devices, joints=joints)
  batch = train_step.split(_noise(config, joints), devices)
  nobody = np.zeros(len(devices), bool)
  began = time.perf_counter()
  lowered = step.lower(state, batch, nobody)
  traced = time.perf_counter()
  compiled = lowered.compile()
  ready = time.perf_counter()
  needs = compiled.memory_analysis()
  seconds = []
  for _ in trange(rounds + 1, desc='Timing', unit='round'):
    before = time.perf_counter()
    for _ in range(_STEPS):
      state, metrics = compiled(state, batch, nobody)
    jax.block_until_ready(metrics)
    seconds.append((time.perf_counter() - before) / _STEPS)
  step_seconds = statistics.median(seconds[1:])  # the first warms up
  return {
    'what': 'step',
    'device': devices[0].device_kind,
    'devices': len(devices),
    'stacks': config.model.stacks,
    'image_size': config.data.image_size,
    'batch_size': config.batch_size,
    'dtype': config.model.dtype,
    'scan': config.model.scan,
    'remat': config.model.remat,
    'accumulate_steps': config.accumulate_steps,
    'rounds': rounds,
    'trace_s': traced - began,
    'compile_s': ready - traced,
    'temporary_gb': needs.temp_size_in_bytes / 1e9,
    'peak_gb': health.memory() / 1e9,
    'step_s': step_seconds,
    'images_per_second': config.batch_size / step_seconds,
  }


def _noise(config: Config, joints: int) -> train_step.Batch:
  size, count = config.data.image_size, config.batch_size
  rng = np.random.default_rng(0)
  side = size // STRIDE
  return {
    'image': rng.integers(0, 256, (count, size, size, 3), np.uint8),
    'heatmaps': rng.random((count, side, side, joints), np.float32),
    'known': np.ones((count, joints), bool),
  }


def step_table(result: dict) -> str:
  """The result of `measure_step` for people."""
  machine = result['machine']
  return '\n'.join(
    [
      f'{result["devices"]} x {result["device"]}, {machine["processor"]}, '
      f'{machine["cores"]} cores',
      f'{result["stacks"]} stacks, {result["image_size"]} px, batch '
      f'{result["batch_size"]}, {result["dtype"]}, scan {result["scan"]}, '
      f'remat {result["remat"]}, accumulate {result["accumulate_steps"]}; '
      f'median of {result["rounds"]} rounds of {_STEPS} steps',
      f'trace {result["trace_s"]:.1f} s, compile {result["compile_s"]:.1f} s',
      f'memory: {result["temporary_gb"]:.2f} GB within a step, '
      f'{result["peak_gb"]:.2f} GB at most in all',
      f'{result["step_s"]:.3f} s a step, '
      f'{result["images_per_second"]:.1f} images/s',
    ]
  )
