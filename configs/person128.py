"""The network in the box: people, on a CPU; MPII and LSP-extended.

Source: ours. It learns at 64 px first, where a step takes a third of the time,
  and goes on at 128 px. Wide joints (sigma) shorten the plateau at the start.
  The shares show MPII's people about twice as often as their number would.
Expected: the first table of README.md.
Time: 15 minutes and 80 minutes on 2 CPU cores.

  python -m hg_jax.main --config=configs/person128.py --workdir=runs/person64 \\
      --config.data.image_size=64 --config.steps=12000 \\
      --config.optimizer.learning_rate=4e-3
  python -m hg_jax.main --config=configs/person128.py \\
      --config.init_from=runs/person64
"""

from hg_jax.base.config import Config, Data, Evaluate, Model, Optimizer


def get_config() -> Config:
  return Config(
    model=Model(stacks=2, features=64),
    data=Data(
      dir='data/mpii,data/lspet', shares=(2.0, 3.0), image_size=128, sigma=2.0
    ),
    optimizer=Optimizer(
      learning_rate=3e-3, schedule='cosine', warmup_steps=300
    ),
    evaluate=Evaluate(figures=8, decoding='dark'),
    batch_size=16,
    steps=36_000,
    ema_decay=0.999,
    log_every=200,
    checkpoint_every=500,
    evaluate_every=3_000,
  )
