from functools import partial

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from hg_jax.model import hourglass, layers

MODEL = hourglass.StackedHourglass(2, joints=3, features=16)


def size(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.fixture(scope='module')
def variables():
  """Random weights, and statistics that differ from their start too."""
  variables = hourglass.create_variables(MODEL, 0, 64)
  generator = np.random.default_rng(0)
  return variables | {
    'batch_stats': jax.tree.map(
      lambda leaf: (leaf + generator.uniform(-0.2, 0.2, leaf.shape)).astype(
        np.float32
      ),
      variables['batch_stats'],
    )
  }


@pytest.fixture(scope='module')
def images():
  generator = np.random.default_rng(0)
  return generator.integers(256, size=(4, 64, 128, 3)).astype(np.uint8)


@pytest.fixture(scope='module')
def predict():
  return jax.jit(partial(MODEL.apply, train=False))


@pytest.fixture(scope='module')
def heatmaps(predict, variables, images):
  return np.asarray(predict(variables, images))


# SPEC 1.1, by hand from the graph and equal to pose-hg-train's.
@pytest.mark.parametrize(
  ('stacks', 'parameters', 'normalized'),
  [
    (1, 3_426_448, 16_640),
    (2, 6_570_400, 31_488),
    (4, 12_858_304, 61_184),
    (8, 25_434_112, 120_576),
  ],
)
def test_counts_of_parameters_are_the_published_ones(
  stacks, parameters, normalized
):
  model = hourglass.StackedHourglass(stacks, joints=16)
  variables = hourglass.create_variables(model, 0, 256)
  assert size(variables['params']) == parameters
  assert size(variables['batch_stats']) == normalized


def test_every_stack_gives_heatmaps_at_a_quarter_of_the_size(heatmaps):
  assert heatmaps.shape == (4, 2, 16, 32, 3)
  assert heatmaps.dtype == np.float32


def test_a_side_that_cannot_be_halved_is_refused(variables):
  with pytest.raises(ValueError, match='64 x 100 px; .* multiples of 64'):
    MODEL.apply(variables, np.zeros((1, 64, 100, 3)), train=False)


def test_bytes_are_divided_by_255(predict, variables, images, heatmaps):
  fractions = images.astype(np.float32) / 255
  np.testing.assert_allclose(
    predict(variables, fractions), heatmaps, rtol=0, atol=1e-5
  )


def test_evaluation_does_not_depend_on_the_rest_of_the_batch(
  predict, variables, images, heatmaps
):
  others = images.copy()
  others[1:] = 0
  np.testing.assert_allclose(
    predict(variables, others)[0], heatmaps[0], rtol=0, atol=1e-5
  )
  assert not np.allclose(predict(variables, others)[1], heatmaps[1])


def test_the_first_stack_does_not_depend_on_the_second(
  variables, images, heatmaps
):
  one = MODEL.clone(stacks=1)  # does not use the second's weights
  alone = jax.jit(partial(one.apply, train=False))(variables, images)
  assert alone.shape == (4, 1, 16, 32, 3)
  np.testing.assert_allclose(alone[:, 0], heatmaps[:, 0], rtol=0, atol=1e-5)


def test_every_weight_and_pixel_matters_to_the_last_heatmap(variables, images):
  @jax.jit
  @jax.grad
  def gradients(inputs):
    params, image = inputs
    heatmaps = MODEL.apply(variables | {'params': params}, image, train=False)
    # Here paths from the whole image meet.
    return heatmaps[0, -1, 8, 16].sum()

  image = images[:1].astype(np.float32) / 255
  params, pixels = gradients((variables['params'], image))
  unused = [
    jax.tree_util.keystr(path)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    if not np.any(leaf)
  ]
  assert not unused
  assert np.all(np.any(pixels != 0, axis=-1))


def test_bfloat16_keeps_parameters_and_heatmaps_in_float32(
  variables, images, heatmaps
):
  model = MODEL.clone(dtype='bfloat16')
  created = hourglass.create_variables(model, 0, 64)
  assert {leaf.dtype for leaf in jax.tree.leaves(created)} == {
    np.dtype(np.float32)
  }
  low = np.asarray(
    jax.jit(partial(model.apply, train=False))(variables, images)
  )
  assert low.dtype == np.float32
  # 8 bits, through about forty layers.
  assert np.abs(low - heatmaps).max() < 0.1 * np.abs(heatmaps).max()
  # They are not rounded to bfloat16, where neighbors would be equal.
  assert (low != low.astype(jnp.bfloat16)).mean() > 0.9


@pytest.fixture(scope='module')
def train():
  """Jitted (variables, images) -> heatmaps, {'batch_stats'}."""
  return jax.jit(partial(MODEL.apply, train=True, mutable=['batch_stats']))


def test_training_updates_the_statistics_by_a_tenth(train, variables, images):
  heatmaps, updates = train(variables, images)
  old, new = variables['batch_stats'], updates['batch_stats']
  assert heatmaps.shape == (4, 2, 16, 32, 3)
  jax.tree.map(lambda a, b: np.testing.assert_(np.any(a != b)), old, new)
  # The first BatchNorm sees the first convolution, which has no statistics.
  stem = variables['params']['stem']['conv']
  x = layers.Conv(4, 7, stride=2).apply(
    {'params': stem}, images.astype(np.float32) / 255
  )
  np.testing.assert_allclose(
    new['stem']['norm']['mean'],
    0.9 * old['stem']['norm']['mean'] + 0.1 * x.mean(axis=(0, 1, 2)),
    rtol=1e-4,
  )


def test_training_depends_on_the_rest_of_the_batch(train, variables, images):
  others = images.copy()
  others[1:] = 0
  assert not np.allclose(
    train(variables, others)[0][0], train(variables, images)[0][0], atol=1e-2
  )


def test_synced_statistics_do_not_depend_on_the_number_of_devices(
  train, variables, images
):
  # `vmap` with an axis name is a `pmap` on one device. One stack is enough.
  def on_two_devices(axis_name):
    model = MODEL.clone(stacks=1, axis_name=axis_name)
    apply = partial(model.apply, train=True, mutable=['batch_stats'])
    heatmaps, updates = jax.jit(
      jax.vmap(apply, in_axes=(None, 0), axis_name='batch')
    )(variables, images.reshape(2, 2, *images.shape[1:]))
    return heatmaps.reshape(4, *heatmaps.shape[2:]), updates['batch_stats']

  expected, expected_updates = train(variables, images)
  heatmaps, statistics = on_two_devices('batch')
  np.testing.assert_allclose(heatmaps, expected[:, :1], rtol=0, atol=1e-3)
  for part in ('stem', 'stack0'):
    jax.tree.map(
      lambda two, one: np.testing.assert_allclose(two, [one, one], atol=1e-3),
      statistics[part],
      expected_updates['batch_stats'][part],
    )
  assert not np.allclose(on_two_devices(None)[0], expected[:, :1], atol=1e-2)


def test_equal_seeds_give_equal_weights_and_other_seeds_do_not():
  first, again, other = (
    hourglass.create_variables(MODEL, seed, 64) for seed in (0, 0, 1)
  )
  jax.tree.map(np.testing.assert_array_equal, first, again)
  kernels = (v['params']['stem']['conv']['kernel'] for v in (first, other))
  assert not np.isclose(*kernels).any()


def test_weights_have_the_distribution_of_the_modules_init():
  model = hourglass.StackedHourglass(1, joints=3)
  variables = hourglass.create_variables(model, 0, 64)
  own = jax.eval_shape(
    partial(model.init, train=False),
    jax.random.key(0),
    jnp.zeros((1, 64, 64, 3)),
  )
  assert jax.tree.map(lambda a: (a.shape, a.dtype), variables) == jax.tree.map(
    lambda a: (a.shape, a.dtype), own
  )
  module = layers.Conv(64, 7).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
  bound = (7 * 7 * 3) ** -0.5  # SPEC 1.3
  for conv in (variables['params']['stem']['conv'], module['params']):
    for leaf in (conv['kernel'], conv['bias']):
      assert 0.95 * bound < np.abs(leaf).max() <= bound
      assert abs(np.mean(leaf)) < 0.25 * bound
    # The deviation of U(-1, 1) is 1 / sqrt(3).
    assert np.std(conv['kernel']) == pytest.approx(bound / 3**0.5, rel=0.03)


@pytest.mark.parametrize('stacks', [1, 2])
def test_scan_keeps_the_names_of_the_statistics(stacks):
  model = MODEL.clone(stacks=stacks, scan=True)
  variables = hourglass.create_variables(model, 0, 64)
  heatmaps, updates = jax.eval_shape(
    partial(model.apply, train=True, mutable=['batch_stats']),
    variables,
    jax.ShapeDtypeStruct((2, 64, 64, 3), np.uint8),
  )
  assert heatmaps.shape == (2, stacks, 16, 16, 3)
  assert jax.tree.structure(updates['batch_stats']) == jax.tree.structure(
    variables['batch_stats']
  )
