"""`rmsprop16` with the BatchNorm groups of batch 8, to tell the two apart.

Source: ours. The report's batch of 16 also doubles the people over whom each
  device takes its BatchNorm statistics (SPEC 7.21). Here a batch of 16 goes
  through in two halves, each with statistics of its own, so only the gradient
  is that of 16 people.
Expected: not known; if `rmsprop16` is better by its statistics, this is not.
Time: not measured here; as `rmsprop16`.

  python -m hg_jax.main --config=configs/rmsprop16_halves.py
"""

from hg_jax.base.config import Config, Optimizer


def get_config() -> Config:
  return Config(
    optimizer=Optimizer(name='rmsprop', learning_rate=2.5e-4),
    accumulate_steps=2,
  )
