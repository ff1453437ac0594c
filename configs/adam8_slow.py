"""`adam8` at the baseline's learning rate, to tell the optimizer from the rate.

Source: ours. The report's Adam comes with a rate four times the baseline's;
  this run changes the optimizer alone.
Expected: not known; if `adam8` is better by its rate, this is not.
Time: not measured here; as `adam8`.

  python -m hg_jax.main --config=configs/adam8_slow.py
"""

from hg_jax.base.config import Config, Optimizer


def get_config() -> Config:
  return Config(optimizer=Optimizer(learning_rate=2.5e-4), batch_size=8)
