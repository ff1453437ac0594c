"""The report's first change alone: another resolution, 384 px in, 96 px out.

Source: Rockwell, Cortez and Huang, section 4, which names no number of
  pixels; 384 is what mmpose uses. Sigma grows with the heatmap, as in
  pytorch_stacked_hourglass. Prepare crops that are large enough:

  python -m hg_jax.prepare --images=DIR --annotations=FILE --size=672 \\
      --data_dir=data/mpii672

Expected: no number is published for this network.
Time: not measured here.

  python -m hg_jax.main --config=configs/rmsprop8_res384.py
"""

from hg_jax.base.config import Config, Data, Optimizer


def get_config() -> Config:
  return Config(
    data=Data(dir='data/mpii672', image_size=384, sigma=1.5),
    optimizer=Optimizer(name='rmsprop', learning_rate=2.5e-4),
    batch_size=8,
  )
