"""The report's third change alone: Adam instead of RMSProp, batch 8.

Source: Rockwell, Cortez and Huang, section 4 and figure 8; the learning rate
  is that of pytorch_stacked_hourglass, so it changes with the optimizer.
Expected: slightly better than `rmsprop8` (figure 8; no number is published).
Time: not measured here; the report took 3 days on 4 Tesla K40.

  python -m hg_jax.main --config=configs/adam8.py
"""

from hg_jax.base.config import Config


def get_config() -> Config:
  return Config(batch_size=8)
