import jax
import numpy as np
import pytest

from hg_jax.base.config import Config, Model
from hg_jax.training import optimizer, train_step
from hg_jax.training.flat import Flat, flatten, unflatten

pytestmark = pytest.mark.usefixtures('shallow')


def test_flat_holds_leaves_by_name_and_gives_them_back():
  tree = {'b': {'x': np.arange(6.0).reshape(2, 3)}, 'a': np.float64([7, 8])}
  flat = Flat.of(tree)
  np.testing.assert_array_equal(flat.values, [7, 8, 0, 1, 2, 3, 4, 5])
  back = flat.tree()
  assert jax.tree.structure(back) == jax.tree.structure(tree)
  jax.tree.map(np.testing.assert_array_equal, back, tree)
  # Saved or kept, a part does not keep the whole in memory.
  assert back['a'].base is None


def test_flat_in_a_jitted_function_is_the_tree():
  tree = {'a': np.float32([1, 2]), 'b': np.float32([[3.0]])}
  gradient = jax.jit(jax.grad(lambda f: (f.tree()['b'] ** 2).sum()))
  np.testing.assert_array_equal(gradient(Flat.of(tree)).values, [0, 0, 6])


@pytest.mark.parametrize('name', ['adam', 'rmsprop', 'sgd'])
def test_a_flat_state_is_a_few_arrays_and_comes_back(name):
  config = Config(model=Model(stacks=3, features=4), ema_decay=0.9)
  config.optimizer.name = name
  tx = optimizer.make_optimizer(config)
  state = train_step.create_train_state(config, tx, joints=3)
  flat = flatten(jax.device_get(state))
  # The step, weights, batch statistics, the averages of both, at most two
  # moments and as many counts.
  assert len(jax.tree.leaves(flat)) <= 9
  back = unflatten(flat)
  assert jax.tree.structure(back) == jax.tree.structure(state)
  jax.tree.map(np.testing.assert_array_equal, back, state)
  # The optimizer makes the same state of flat weights.
  own = tx.init(flat.variables['params'])
  assert jax.tree.structure(own) == jax.tree.structure(flat.opt_state)


def test_train_state_like_has_the_shapes_of_the_state():
  config = Config(model=Model(stacks=2, features=4), ema_decay=0.9)
  tx = optimizer.make_optimizer(config)
  state = train_step.create_train_state(config, tx, joints=3)
  like = train_step.train_state_like(config, tx, joints=3)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), like) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
