"""Says what a run would cost, before anyone waits for it.

  python -m hg_jax.summary --config=configs/adam16.py [--config.x=y]

Needs no data and no accelerator. `python -m hg_jax.benchmark --what=step`
measures instead.
"""

from absl import flags

from hg_jax.base.command import define_config, given_config, run
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.model.heatmaps import STRIDE
from hg_jax.training import cost

FLAGS = flags.FLAGS

_BATCHES = (1, 2, 4, 8, 16, 32, 64)  # people a device


def define_flags() -> None:
  define_config('A file under configs/; --config.x=y changes a setting.')
  flags.DEFINE_integer(
    'joints', 16, 'How many the network finds.', lower_bound=1
  )


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  config = given_config()
  if config is None:
    raise UserError('give --config=configs/NAME.py.')
  print(describe(config, joints=FLAGS.joints))


def describe(config: Config, *, joints: int) -> str:
  """Parameters by part, arithmetic and memory, as a table for people."""
  return '\n\n'.join(
    [
      _parameters(config, joints),
      _arithmetic(config, joints),
      _memory(config, joints),
    ]
  )


def _parameters(config: Config, joints: int) -> str:
  counts = cost.parameters(config, joints=joints)
  rows = {'stem': counts['stem']}
  for name, count in counts.items():
    stack, _, part = name.partition(' ')
    if part:
      rows[stack] = rows.get(stack, 0) + count
    if stack == 'stack0':
      rows[f'  of which {part}'] = count
  rows['total'] = sum(counts.values())
  return '\n'.join(
    ['parameters', *(f'  {name:<28}{n:>12,}' for name, n in rows.items())]
  )


def _arithmetic(config: Config, joints: int) -> str:
  size = config.data.image_size
  giga = cost.multiplications(config, joints=joints) / 1e9
  return '\n'.join(
    [
      f'input {size} x {size} px, heatmaps {size // STRIDE} x {size // STRIDE}',
      f'{giga:.2f} G multiply-accumulates an image forward; about three times '
      'that to train on it',
    ]
  )


def _memory(config: Config, joints: int) -> str:
  there = cost.memory(config, joints=joints)
  rows = {
    'weights': there.weights,
    'gradients': there.gradients,
    f'{config.optimizer.name}': there.optimizer,
    'activations of an image': there.activations,
  }
  lines = ['memory of training on each device, at most']
  lines += [f'  {name:<28}{n / 2**20:>10.0f} MiB' for name, n in rows.items()]
  for batch in _BATCHES:
    if batch % config.accumulate_steps == 0:
      total = there.of(batch, accumulate_steps=config.accumulate_steps)
      lines.append(
        f'  {f"with {batch} people a device":<28}{total / 2**30:>10.1f} GiB'
      )
  lines.append(
    'XLA needed 0.74 to 0.88 of the activations on a CPU. A GPU also '
    'needs room for its convolutions.'
  )
  return '\n'.join(lines)


if __name__ == '__main__':
  define_flags()
  run(main)
