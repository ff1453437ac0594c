import jax
import numpy as np
import pytest

from hg_jax.base.config import Config, Model
from hg_jax.model import hourglass, joining
from hg_jax.training import optimizer, train_step

pytestmark = pytest.mark.usefixtures('shallow')


@pytest.mark.parametrize('stacks', [1, 3])
def test_what_is_joined_comes_apart_as_it_was(stacks):
  config = Config(model=Model(stacks=stacks, features=4), ema_decay=0.9)
  tx = optimizer.make_optimizer(config)
  state = train_step.create_train_state(config, tx, joints=16)
  joined = joining.join(state)
  assert 'stack0' not in joined.variables['params']
  # The optimizer's moments and the moving average are joined, too.
  fewer = len(jax.tree.leaves(joined)) / len(jax.tree.leaves(state))
  assert fewer < (0.6 if stacks == 3 else 1.1)
  back = joining.unjoin(joined)
  assert jax.tree.structure(back) == jax.tree.structure(state)
  jax.tree.map(np.testing.assert_array_equal, back, state)


def test_the_last_stack_hands_on_zeros():
  config = Config(model=Model(stacks=2, features=4))
  model = hourglass.create_model(config, joints=16)
  params = hourglass.create_variables(model, 0, 64)['params']
  remap = joining.join(params)['stacks']['remap_features']['kernel']
  np.testing.assert_array_equal(
    remap[0], params['stack0']['remap_features']['kernel']
  )
  assert not remap[1].any()
