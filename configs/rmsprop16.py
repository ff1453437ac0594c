"""The report's second change alone: batch 16 instead of 8, RMSProp.

Source: Rockwell, Cortez and Huang, section 4 and figure 8. The learning rate
  is not scaled with the batch.
Expected: clearly better than `rmsprop8` (figure 8; no number is published).
Time: not measured here; the report took 3 days on 4 Tesla K40.

  python -m hg_jax.main --config=configs/rmsprop16.py
"""

from hg_jax.base.config import Config, Optimizer


def get_config() -> Config:
  return Config(optimizer=Optimizer(name='rmsprop', learning_rate=2.5e-4))
