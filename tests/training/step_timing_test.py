import jax
import pytest

from hg_jax import benchmark
from hg_jax.base.config import Config, Model
from hg_jax.training import step_timing

pytestmark = pytest.mark.usefixtures('shallow')


def test_the_figures_of_a_step_agree_with_each_other():
  config = Config(model=Model(stacks=1, features=8), batch_size=4)
  config.data.image_size = 64
  result = step_timing.measure_step(config, rounds=2, joints=16)
  rate = result['batch_size'] / result['step_s']
  assert result['images_per_second'] == pytest.approx(rate)
  assert result['devices'] == jax.local_device_count()
  assert 0 < result['temporary_gb'] and 0 < result['compile_s']
  table = step_timing.step_table(result | {'machine': benchmark.machine()})
  assert f'{rate:.1f} images/s' in table
