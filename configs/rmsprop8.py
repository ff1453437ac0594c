"""The report's baseline: RMSProp at 2.5e-4, batch 8, 8 stacks.

Source: Rockwell, Cortez and Huang, section 4; Newell's settings.
Expected: PCKh@0.5 of 88.5 over all 16 joints (published in the report, not
  measured here).
Time: not measured here; the report took 3 days on 4 Tesla K40.

  python -m hg_jax.main --config=configs/rmsprop8.py
"""

from hg_jax.base.config import Config, Optimizer


def get_config() -> Config:
  return Config(
    optimizer=Optimizer(name='rmsprop', learning_rate=2.5e-4), batch_size=8
  )
