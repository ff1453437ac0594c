"""The finder in the box: everybody in a photo, on a CPU; MPII, LSP-extended.

Source: ours; the maps are those of "Objects as Points" (Zhou et al. 2019). One
  stack of the network in the box, begun with its weights, learns to answer
  two maps of a whole photo: the middles of people's squares, and their sides.
Expected: hg_jax/weights/people192/README.md.
Time: two hours on 2 slow CPU cores.

  python -m hg_jax.main --config=configs/people192.py

Somebody's own, of animals:

  python -m hg_jax.main --config=configs/people192.py \\
      --config.data.dir=data/mine --workdir=runs/finder
"""

from hg_jax.base.config import Augment, Config, Data, Evaluate, Model, Optimizer


def get_config() -> Config:
  return Config(
    task='people',
    model=Model(stacks=1, features=64),
    data=Data(dir='data/mpii,data/lspet', shares=(3.0, 1.0), image_size=192),
    augment=Augment(mosaic=0.5),
    optimizer=Optimizer(
      learning_rate=2e-3, schedule='cosine', warmup_steps=200, clip=5.0
    ),
    evaluate=Evaluate(batch_size=16),
    init_from='box',
    batch_size=16,
    steps=6_000,
    ema_decay=0.998,
    log_every=100,
    checkpoint_every=250,
    evaluate_every=1_000,
  )
