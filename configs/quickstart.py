"""Draws people, trains a small hourglass on them, and shows what it learned.

Source: ours; no data and no network are needed, and no GPU. At first a
  network answers empty heatmaps, which are nearly right; wider joints (sigma),
  many small batches and a rate that rises from 0 shorten that.
Expected: PCKh@0.5 of 92 to 93 over all joints on people it never saw.
Time: 4 minutes of CPU time to train, so 2 to 3 minutes on 2 quiet cores.

  python -m hg_jax.main --config=configs/quickstart.py
"""

from hg_jax.base.config import Augment, Config, Data, Evaluate, Model, Optimizer


def get_config() -> Config:
  return Config(
    model=Model(stacks=1, features=32),
    data=Data(
      dir='data/synthetic', image_size=128, sigma=1.5, synthetic_people=1000
    ),
    augment=Augment(
      rotation=15.0, scale=0.15, saturation=0.2, contrast=0.2, brightness=0.1
    ),
    optimizer=Optimizer(
      learning_rate=3e-3, schedule='cosine', warmup_steps=100
    ),
    evaluate=Evaluate(figures=12),
    batch_size=8,
    steps=2400,
    log_every=100,
    checkpoint_every=600,
    evaluate_every=1200,
  )
