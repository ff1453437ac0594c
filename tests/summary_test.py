import pytest

from hg_jax import summary
from hg_jax.base.config import Config, Model


# SPEC 1.1: multiply-accumulates of the convolutions, by hand from the graph.
@pytest.mark.parametrize(
  ('stacks', 'giga'), [(1, 5.150343), (2, 8.334607), (8, 27.440185)]
)
def test_forward_flops_are_twice_the_published_multiplications(stacks, giga):
  config = Config(model=Model(stacks=stacks))
  # XLA counts the rest of the network, and not what falls on padding.
  flops = summary.forward_flops(config, joints=16)
  assert flops / 1e9 == pytest.approx(2 * giga, rel=0.02)


def test_describe_counts_parameters_and_the_memory_of_the_state():
  config = Config(model=Model(stacks=2), ema_decay=0.9)
  config.data.dir = 'nowhere'  # no data is needed
  text = summary.describe(config, joints=16)
  assert '6,570,400' in text  # SPEC 1.1
  memory = {
    line[:32].strip(): int(line[32:-3])
    for line in text.splitlines()
    if line.endswith(' MiB')
  }
  # f32; 31,488 statistics beside the parameters, and Adam's two moments.
  params, statistics = 4 * 6_570_400 / 2**20, 4 * 31_488 / 2**20
  assert memory == {
    'weights and batch statistics': round(params + statistics),
    'gradients': round(params),
    'adam': round(2 * params),
    'moving average': round(params + statistics),
  }
