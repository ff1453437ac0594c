"""Our network and optimizers against PyTorch's, weight for weight.

Evaluation is compared in float32. In training rounding errors grow, since
every BatchNorm divides by the deviation of a few numbers: PyTorch in float32
is up to 1e-3 away from PyTorch in float64, so float64 is what our float32 is
held against. And a bias before a BatchNorm has no gradient but rounding
errors, of which RMSProp and Adam make full steps (SPEC 7.23); in float64
these errors are far below their epsilon, so there whole steps are compared.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from hg_jax import convert
from hg_jax.base import config
from hg_jax.model import hourglass
from hg_jax.training import optimizer

LEARNING_RATES = {'rmsprop': 2.5e-4, 'adam': 1e-3, 'sgd': 0.1}
BOTTOM = ('low2', 'low2', 'low2', 'low2')  # of an hourglass


@pytest.fixture(scope='module')
def torch():
  torch = pytest.importorskip('torch', reason='parity takes PyTorch')
  # Its threads spin while they wait, which slows those of JAX.
  torch.set_num_threads(1)
  return torch


@pytest.fixture(scope='module')
def port(torch):
  return pytest.importorskip('port')


@pytest.fixture(autouse=True)
def full_precision():
  # A GPU would multiply in TF32.
  with jax.default_matmul_precision('highest'):
    yield


def random_network(port, torch, stacks, features):
  """PORT's network, with every value different from its start."""
  generator = torch.manual_seed(stacks)

  def uniform(tensor, low, high):
    torch.nn.init.uniform_(tensor, low, high, generator=generator)

  network = port.PoseNet(stacks, features)
  for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      uniform(module.weight, 0, 1)  # larger values grow over eight stacks
      uniform(module.bias, -0.5, 0.5)
      uniform(module.running_mean, -0.5, 0.5)
      uniform(module.running_var, 0.5, 1.5)
  return network


def to_numpy(network):
  # Copies, because PyTorch changes its tensors in place.
  return {
    name: value.detach().numpy().copy()
    for name, value in network.state_dict().items()
  }


def as_ours(heatmaps):
  """[B, N, K, H, W] of PyTorch as [B, N, H, W, K] of NumPy."""
  return heatmaps.detach().permute(0, 1, 3, 4, 2).numpy()


def random_batch(size, dtype=np.float32):
  generator = np.random.default_rng(0)
  image = generator.random((4, size, size, 3), dtype)
  return image, generator.random((4, size // 4, size // 4, 16), dtype)


@pytest.mark.parametrize(('stacks', 'size'), [(1, 256), (2, 128), (8, 64)])
def test_heatmaps_equal_pytorchs(port, torch, stacks, size):
  network = random_network(port, torch, stacks, 256).eval()
  image = random_batch(size)[0][:2]
  with torch.no_grad():
    expected = as_ours(network(torch.from_numpy(image)))
  model = hourglass.StackedHourglass(stacks, joints=16)
  variables = convert.from_torch(to_numpy(network))
  heatmaps = jax.jit(model.apply, static_argnames='train')(
    variables, image, train=False
  )
  assert heatmaps.shape == (2, stacks, size // 4, size // 4, 16)
  assert np.abs(expected).max() > 0.5
  assert np.abs(heatmaps - expected).max() < 1e-4


def test_training_heatmaps_are_within_rounding_of_pytorchs(port, torch):
  network = random_network(port, torch, stacks=2, features=32)
  variables = convert.from_torch(to_numpy(network))
  image, _ = random_batch(128)
  with torch.no_grad():
    expected = as_ours(network.double()(torch.from_numpy(image).double()))
  model = hourglass.StackedHourglass(2, joints=16, features=32)
  heatmaps, updates = jax.jit(
    lambda variables, image: model.apply(
      variables, image, train=True, mutable=['batch_stats']
    )
  )(variables, image)
  assert np.abs(expected).max() > 0.5
  assert np.abs(heatmaps - expected).max() < 1e-4

  old = flatten_dict(variables['batch_stats'])
  ours = flatten_dict(updates['batch_stats'])
  theirs = flatten_dict(convert.from_torch(to_numpy(network))['batch_stats'])
  for path in (('stem', 'norm'), ('stack1', 'hourglass', *BOTTOM, 'norm1')):
    mean, var = (*path, 'mean'), (*path, 'var')
    np.testing.assert_allclose(ours[mean], theirs[mean], rtol=1e-4, atol=1e-5)
    # Of n numbers PyTorch stores the unbiased variance, Flax the biased one
    # (SPEC 1.3): 4 images of 64 x 64 px in the stem, of 2 x 2 at the bottom.
    n = 4 * 64**2 if path[0] == 'stem' else 4 * 2**2
    unbiased = ours[var] - 0.9 * old[var]
    np.testing.assert_allclose(
      unbiased * n / (n - 1), theirs[var] - 0.9 * old[var], rtol=1e-3
    )


@pytest.fixture(scope='module')
def gradients64():
  """Jitted (variables, image, targets) -> gradients, heatmaps, updates."""
  model = hourglass.StackedHourglass(2, 16, features=8, dtype='float64')

  @jax.jit
  def gradients(variables, image, targets):
    def loss(params):
      heatmaps, updates = model.apply(
        variables | {'params': params},
        image,
        train=True,
        mutable=['batch_stats'],
      )
      error = jnp.square(heatmaps - targets[:, None]).mean()
      return error, (heatmaps, updates)

    return jax.grad(loss, has_aux=True)(variables['params'])

  return gradients


def backward(torch, network, image, targets):
  """Leaves the gradients of PORT's loss in `network`; returns its heatmaps."""
  heatmaps = network(torch.from_numpy(image))
  targets = torch.from_numpy(targets).permute(0, 3, 1, 2)[:, None]
  # Over people, stacks, joints and pixels (SPEC 3).
  loss = torch.mean((heatmaps - targets) ** 2)
  network.zero_grad()
  loss.backward()
  return as_ours(heatmaps)


def largest_difference(ours, theirs):
  differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), ours, theirs)
  return max(jax.tree.leaves(differences))


def test_gradients_equal_pytorchs(port, torch, gradients64):
  with jax.enable_x64(True):
    network = random_network(port, torch, stacks=2, features=8).double()
    variables = convert.from_torch(to_numpy(network))
    batch = random_batch(128, np.float64)
    expected_heatmaps = backward(torch, network, *batch)
    theirs = {
      name: parameter.grad.numpy()
      for name, parameter in network.named_parameters()
      if parameter.grad is not None  # a skip that is never used
    }
    expected = convert.from_torch(to_numpy(network) | theirs)['params']
    gradients, (heatmaps, _) = gradients64(variables, *batch)
    assert np.abs(heatmaps - expected_heatmaps).max() < 1e-9
    # The kernels' largest gradients are from 1e-4 to 1.
    assert largest_difference(gradients, expected) < 1e-9


@pytest.mark.parametrize('name', LEARNING_RATES)
def test_five_steps_equal_pytorchs(port, torch, gradients64, name):
  with jax.enable_x64(True):
    network = random_network(port, torch, stacks=2, features=8).double()
    variables = start = convert.from_torch(to_numpy(network))
    rate = LEARNING_RATES[name]
    theirs = {
      'rmsprop': torch.optim.RMSprop,
      'adam': torch.optim.Adam,
      'sgd': torch.optim.SGD,
    }[name](network.parameters(), lr=rate)
    ours = optimizer.make_optimizer(
      config.Config(optimizer=config.Optimizer(name=name, learning_rate=rate))
    )
    state = ours.init(variables['params'])
    update = jax.jit(ours.update)
    batch = random_batch(128, np.float64)
    for _ in range(5):
      backward(torch, network, *batch)
      theirs.step()
      gradients, (_, updates) = gradients64(variables, *batch)
      steps, state = update(gradients, state)
      params = optax.apply_updates(variables['params'], steps)
      variables = {'params': params, **updates}
    expected = convert.from_torch(to_numpy(network))['params']
    assert largest_difference(variables['params'], expected) < 1e-7
    assert largest_difference(variables['params'], start['params']) > 1e-3
