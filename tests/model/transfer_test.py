import jax
import numpy as np
import pytest

from hg_jax.base.config import Config, Model
from hg_jax.model import hourglass, transfer


def network(joints: int, seed: int, stacks: int = 2):
  config = Config(model=Model(stacks=stacks, features=8))
  model = hourglass.create_model(config, joints=joints)
  return model, hourglass.create_variables(model, seed, 64)


def test_carry_over_gives_the_old_heatmaps_for_the_old_joints(shallow):
  old_model, old = network(4, seed=0)
  model, fresh = network(5, seed=1)
  # The new joint's heatmap must not reach the second stack to compare there.
  variables = transfer.carry_over(old, fresh, [2, None, 0, 1, 3])
  variables['params']['stack0']['remap_heatmaps']['kernel'][:, :, 1] = 0
  image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
  heatmaps = model.apply(variables, image, train=False)
  wanted = old_model.apply(old, image, train=False)
  np.testing.assert_allclose(
    heatmaps[..., [2, 3, 0, 4]], wanted, rtol=1e-4, atol=1e-5
  )


def test_carry_over_keeps_the_shapes_of_the_new_network():
  _, old = network(4, seed=0)
  _, fresh = network(3, seed=1)
  variables = transfer.carry_over(old, fresh, [None, None, 3])
  assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, fresh)
  head = variables['params']['stack1']['heatmaps']
  begun = fresh['params']['stack1']['heatmaps']
  np.testing.assert_array_equal(
    head['kernel'][..., :2], begun['kernel'][..., :2]
  )
  assert head['bias'][2] == old['params']['stack1']['heatmaps']['bias'][3]


@pytest.mark.parametrize('stacks', [1, 4])
def test_carry_over_to_other_stacks_gives_the_old_heatmaps(shallow, stacks):
  old_model, old = network(4, seed=0)
  model, fresh = network(4, seed=1, stacks=stacks)
  variables = transfer.carry_over(old, fresh, range(4))
  assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, fresh)
  image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
  heatmaps = model.apply(variables, image, train=False)
  wanted = old_model.apply(old, image, train=False)
  for stack in range(stacks):
    np.testing.assert_allclose(
      heatmaps[:, stack], wanted[:, min(stack, 1)], rtol=1e-4, atol=1e-5
    )
