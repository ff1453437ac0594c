"""The network in the box: people, on a CPU; MPII and LSP-extended.

Source: ours. Two stacks learn at 64 px first, where a step takes a third of
  the time, then at 128 px, and become four: a further stack begins as a copy
  of the last. Wide joints (sigma) shorten the plateau at the start. At first
  three of five people are LSP-extended's; at last three of four are MPII's,
  whose joints were marked with more care.
Expected: the first table of docs/results.md.
Time: 15, 80 and 60 minutes on 2 CPU cores.

  flags="--config.model.stacks=2 --config.data.sigma=2
      --config.data.shares=(2,3)"
  python -m hg_jax.main --config=configs/person128.py --workdir=runs/person64 \\
      $flags --config.data.image_size=64 --config.steps=12000 \\
      --config.optimizer.learning_rate=4e-3
  python -m hg_jax.main --config=configs/person128.py --workdir=runs/person2 \\
      $flags --config.init_from=runs/person64 --config.steps=36000 \\
      --config.optimizer.learning_rate=3e-3
  python -m hg_jax.main --config=configs/person128.py \\
      --config.init_from=runs/person2
"""

from hg_jax.base.config import Config, Data, Evaluate, Model, Optimizer


def get_config() -> Config:
  return Config(
    model=Model(stacks=4, features=64),
    data=Data(
      dir='data/mpii,data/lspet', shares=(3.0, 1.0), image_size=128, sigma=1.5
    ),
    optimizer=Optimizer(
      learning_rate=2.5e-3, schedule='cosine', warmup_steps=300
    ),
    evaluate=Evaluate(figures=8, decoding='dark'),
    batch_size=16,
    steps=20_000,
    ema_decay=0.999,
    log_every=200,
    checkpoint_every=500,
    evaluate_every=2_000,
  )
