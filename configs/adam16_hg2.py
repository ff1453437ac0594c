"""`adam16` with 2 stacks, a quarter of the work.

Source: pytorch_stacked_hourglass, its "2HG".
Expected: PCKh@0.5 of 88.3 over all 16 joints (published, not measured here).
Time: not measured here.

  python -m hg_jax.main --config=configs/adam16_hg2.py
"""

from hg_jax.base.config import Config, Model


def get_config() -> Config:
  return Config(model=Model(stacks=2))
