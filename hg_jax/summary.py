"""Prints the costs of a network, from its shapes; nothing is compiled.

  python -m hg_jax.summary --config=configs/adam16.py [--config.x=y]

Needs no data and no accelerator. `python -m hg_jax.benchmark --what=step`
measures time, and the memory of a step.
"""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
from absl import flags

from hg_jax.base.command import define_config, given_config, run
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.model import hourglass
from hg_jax.training import optimizer, train_step

FLAGS = flags.FLAGS


def define_flags() -> None:
  define_config('A file under configs/; --config.x=y changes a setting.')
  flags.DEFINE_integer(
    'joints', 16, 'The number of joints to find.', lower_bound=1
  )


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  config = given_config()
  if config is None:
    raise UserError('give --config=configs/NAME.py.')
  print(describe(config, joints=FLAGS.joints))


def describe(config: Config, *, joints: int) -> str:
  """Returns the parameters by part, the arithmetic and the state's memory."""
  model = hourglass.create_model(config, joints=joints)
  model = model.clone(scan=False, axis_name=None)
  size = config.data.image_size
  image = np.zeros((1, size, size, 3), np.uint8)
  tabulate = nn.tabulate(
    model,
    jax.random.key(0),
    depth=1,
    console_kwargs={'width': 110, 'force_terminal': False},
  )
  tx = optimizer.make_optimizer(config)
  state = train_step.train_state_like(config, tx, joints=joints)
  memory = {
    'weights and batch statistics': state.variables,
    'gradients': state.variables['params'],
    config.optimizer.name: state.opt_state,
    'moving average': state.ema,
  }
  return '\n'.join(
    [
      tabulate(image, train=False).strip(),
      f'{forward_flops(config, joints=joints) / 1e9:.2f} GFLOP an image '
      'forward; about three times that to train on it',
      'memory of training on each device, without activations:',
      *(f'  {n:<30}{_bytes(x) / 2**20:>8.0f} MiB' for n, x in memory.items()),
    ]
  )


def forward_flops(config: Config, *, joints: int) -> float:
  """Returns XLA's count of operations on one image; a multiply-add counts two.

  On any machine it is the count for a GPU, which has plain convolutions.
  """
  model = hourglass.create_model(config, joints=joints)
  size = config.data.image_size
  forward = jax.jit(lambda v, x: model.apply(v, x, train=False)).trace(
    hourglass.variables_like(config, joints=joints),
    jax.ShapeDtypeStruct((1, size, size, 3), np.uint8),
  )
  return forward.lower(lowering_platforms=('cuda',)).cost_analysis()['flops']


def _bytes(tree: Any) -> int:
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


if __name__ == '__main__':
  define_flags()
  run(main)
