from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hg_jax.model import layers


def test_conv_7x7_pads_by_three_on_every_side():
  kernel = {'kernel': np.ones((7, 7, 1, 1)), 'bias': np.zeros(1)}
  x = np.ones((1, 8, 8, 1), np.float32)
  y = layers.Conv(1, 7, stride=2).apply({'params': kernel}, x)
  # Of pixels 0..7 the windows at 0, 2, 4, 6 hold 0..3, 0..5, 1..7, 3..7.
  sides = np.array([4, 6, 7, 5])
  np.testing.assert_array_equal(y[0, :, :, 0], np.outer(sides, sides))


def test_conv_1x1_is_a_product_at_every_pixel():
  conv = layers.Conv(4, 1)
  generator = np.random.default_rng(0)
  x = generator.normal(size=(2, 3, 5, 6)).astype(np.float32)
  variables = conv.init(jax.random.key(0), x)
  kernel, bias = (variables['params'][name] for name in ('kernel', 'bias'))
  expected = jax.lax.conv_general_dilated(
    x, kernel, (1, 1), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  np.testing.assert_allclose(
    conv.apply(variables, x), expected + np.asarray(bias), atol=1e-5
  )


def test_max_pool_and_upsample_change_size_by_two():
  x = np.array([[1, 2, 7, 0], [3, 4, 0, 0], [0, 0, 5, 5], [0, -1, 5, 5]])
  pooled = layers.max_pool(jnp.asarray(x)[None, :, :, None])
  np.testing.assert_array_equal(pooled[0, :, :, 0], [[4, 7], [0, 5]])
  np.testing.assert_array_equal(
    layers.upsample(pooled)[0, :, :, 0],
    [[4, 4, 7, 7], [4, 4, 7, 7], [0, 0, 5, 5], [0, 0, 5, 5]],
  )
  image = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
  np.testing.assert_array_equal(
    layers.max_pool(jnp.asarray(image)), nn.max_pool(image, (2, 2), (2, 2))
  )


def convolve(x, kernel):
  """XLA's 3 x 3 convolution, padded by 1."""
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (1, 1),
    [(1, 1), (1, 1)],
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


@pytest.fixture(scope='module')
def tiles():
  """An input of 4 x 6 tiles, a kernel, and a gradient of the output."""
  generator = np.random.default_rng(0)
  x = generator.normal(size=(2, 16, 24, 32))
  kernel = generator.uniform(-1, 1, (3, 3, 32, 40)) / np.sqrt(9 * 32)
  return x, kernel, generator.normal(size=(2, 16, 24, 40))


@jax.jit
def winograd_and_gradients(x, kernel, gradient):
  y, backward = jax.vjp(layers.winograd, x, kernel)
  return y, *backward(gradient)


@jax.jit
def convolve_and_gradients(x, kernel, gradient):
  y, backward = jax.vjp(convolve, x, kernel)
  return y, *backward(gradient)


def test_winograd_is_the_convolution_in_float64(tiles):
  with jax.enable_x64(True):
    ours = winograd_and_gradients(*tiles)
    expected = convolve_and_gradients(*tiles)
  for a, b in zip(ours, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_winograd_in_float32_is_accurate_to_a_hundred_thousandth(tiles):
  with jax.enable_x64(True):
    expected = convolve_and_gradients(*tiles)
  ours = winograd_and_gradients(*(a.astype(np.float32) for a in tiles))
  for a, b in zip(ours, expected, strict=True):
    assert a.dtype == np.float32
    assert np.abs(a - b).max() < 1.5e-5 * np.abs(b).max()


def test_conv_of_a_gpu_program_stays_a_convolution():
  conv = layers.Conv(32, 3)
  x = jax.ShapeDtypeStruct((1, 16, 16, 32), np.float32)
  variables = jax.eval_shape(conv.init, jax.random.key(0), x)
  traced = jax.jit(conv.apply).trace(variables, x)
  for platform, name in (('cpu', 'dot_general'), ('cuda', 'convolution')):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    found = {op for op in ('dot_general', 'convolution') if op in text}
    assert found == {name}


def normalize(module, x, train):
  """Jitted; the result, the gradient of a function of it, the statistics."""
  size = x.shape[-1]
  variables = {
    'params': {
      'scale': np.linspace(0.5, 2, size, dtype=x.dtype),
      'bias': np.linspace(-1, 1, size, dtype=x.dtype),
    },
    'batch_stats': {
      'mean': np.linspace(-2, 2, size, dtype=x.dtype),
      'var': np.linspace(0.5, 3, size, dtype=x.dtype),
    },
  }

  @jax.jit
  def run(variables, x):
    def function(params, x):
      y, updates = module.apply(
        {**variables, 'params': params}, x, mutable=['batch_stats']
      )
      return jnp.sin(y).sum(), (y, updates)

    gradients, (y, updates) = jax.grad(function, argnums=(0, 1), has_aux=True)(
      variables['params'], x
    )
    return y, gradients, updates

  return run(variables, x)


@pytest.mark.parametrize('train', [True, False])
def test_batch_norm_equals_flax(train):
  x = np.random.default_rng(0).normal(1, 2, size=(3, 4, 5, 6))
  flax_norm = nn.BatchNorm(
    use_running_average=not train, momentum=0.9, dtype='float64'
  )
  with jax.enable_x64(True):
    ours = normalize(layers.BatchNorm(train, dtype='float64'), x, train)
    expected = normalize(flax_norm, x, train)
  jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9), ours, expected)


@pytest.mark.parametrize('train', [True, False])
def test_batch_norm_of_a_large_mean_is_as_accurate_as_flax(train):
  # x * a + c cancels where the mean is far above the deviation.
  x = np.random.default_rng(0).normal(300, 1, size=(4, 16, 16, 8))
  x32 = x.astype(np.float32)
  flax_norm = nn.BatchNorm(use_running_average=not train, momentum=0.9)
  with jax.enable_x64(True):
    exact = normalize(
      layers.BatchNorm(train, dtype='float64'), x32.astype(np.float64), train
    )
  ours = normalize(layers.BatchNorm(train), x32, train)
  theirs = normalize(flax_norm, x32, train)
  error, allowed = (np.abs(y[0] - exact[0]).max() for y in (ours, theirs))
  assert error < 2 * allowed + 1e-4
