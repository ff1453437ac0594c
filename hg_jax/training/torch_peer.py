"""The same network in PyTorch, in a process of its own, to be timed with ours.

PyTorch is not a dependency, and the network is the one that the tests hold
ours to: `tests/port.py`, which a checkout of the repository has.
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from hg_jax.base.config import Config, from_json, to_json
from hg_jax.base.errors import UserError
from hg_jax.model.heatmaps import STRIDE

_PORT = Path(__file__).parents[2] / 'tests' / 'port.py'


class TorchPeer:
  """A process that trains or runs the network on noise when it is called."""

  def __init__(
    self,
    what: str,
    config: Config,
    *,
    joints: int,
    channels_last: bool,
    tuned: bool,
  ):
    """Starts it.

    Args:
      what: 'step' or 'inference'.
      config: of the network, the batch and the optimizer; with
        `model.dtype` 'bfloat16' it runs in autocast.
      joints: K.
      channels_last: the memory format.
      tuned: with the settings of glibc that this process has, such as large
        pages; without, with none, as PyTorch's users have it.

    Raises:
      UserError: PyTorch or the network is not at hand.
    """
    if importlib.util.find_spec('torch') is None:
      raise UserError('--against=torch needs PyTorch: pip install torch')
    if not _PORT.exists():
      raise UserError(
        f'--against=torch needs {_PORT}: clone the repository and install it '
        'with pip install -e .'
      )
    arguments = [what, to_json(config), str(joints), str(int(channels_last))]
    environment = dict(os.environ)
    if not tuned:
      environment['GLIBC_TUNABLES'] = ''
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'hg_jax.training.torch_peer', *arguments],
      env=environment,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def __call__(self, steps: int) -> float:
    """Returns the seconds that so many steps took."""
    try:
      print(steps, file=self._process.stdin, flush=True)
      return float(self._process.stdout.readline())
    except (BrokenPipeError, ValueError) as error:
      raise UserError('the process of PyTorch ended; see above.') from error

  def close(self) -> None:
    self._process.communicate()  # which ends its input


def _load_port() -> ModuleType:
  spec = importlib.util.spec_from_file_location('port', _PORT)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _make_run(
  what: str, config: Config, joints: int, channels_last: bool
) -> Callable[[int], None]:
  """Returns the function that trains or infers for so many steps."""
  import torch

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  settings, count = config.model, config.batch_size
  network = _load_port().PoseNet(settings.stacks, settings.features, joints)
  if channels_last:
    network = network.to(memory_format=torch.channels_last)
  network = network.to(device).train(what == 'step')
  size = config.data.image_size
  generator = np.random.default_rng(0)
  image = generator.random((count, size, size, 3), np.float32)
  image = torch.from_numpy(image).to(device)
  side = size // STRIDE
  targets = torch.rand(count, 1, joints, side, side, device=device)
  rate = config.optimizer.learning_rate
  optimizer = {
    'adam': torch.optim.Adam,
    'rmsprop': torch.optim.RMSprop,
    'sgd': torch.optim.SGD,
  }[config.optimizer.name](network.parameters(), lr=rate)
  call = torch.compile(network) if device == 'cuda' else network
  autocast = torch.autocast(
    device, torch.bfloat16, enabled=settings.dtype == 'bfloat16'
  )

  def train(steps: int) -> None:
    for _ in range(steps):
      with autocast:
        loss = ((call(image) - targets) ** 2).mean()
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
    loss.item()  # waits for a GPU

  @torch.inference_mode()
  def infer(steps: int) -> None:
    for _ in range(steps):
      with autocast:
        heatmaps = call(image)
    heatmaps.sum().item()

  return train if what == 'step' else infer


def _serve(what: str, config: str, joints: str, channels_last: str) -> None:
  """Answers each line, a number of steps, with the seconds that they took."""
  run = _make_run(what, from_json(config), int(joints), channels_last == '1')
  for line in sys.stdin:
    before = time.perf_counter()
    run(int(line))
    print(time.perf_counter() - before, flush=True)


if __name__ == '__main__':
  _serve(*sys.argv[1:])
