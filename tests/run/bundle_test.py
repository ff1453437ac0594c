import jax
import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.run import bundle


def variables() -> dict:
  draw = np.random.default_rng(0).standard_normal
  return {
    'params': {'stem': {'kernel': draw((3, 2)), 'bias': draw(2)}},
    'batch_stats': {'norm': {'mean': draw(4).astype(np.float32)}},
  }


def save(folder, weights):
  return bundle.save(folder, Config(), SKELETON, weights)


def test_load_returns_what_save_wrote(tmp_path):
  saved = variables()
  save(tmp_path, saved)
  loaded = bundle.load(tmp_path, saved)
  jax.tree.map(np.testing.assert_array_equal, loaded, saved)
  jax.tree.map(lambda a, b: a.dtype == b.dtype or pytest.fail(), loaded, saved)


def test_load_refuses_another_network_by_name(tmp_path):
  save(tmp_path, variables())
  other = variables()
  other['params']['stem']['bias'] = np.zeros(3)
  with pytest.raises(UserError, match='params/stem/bias'):
    bundle.load(tmp_path, other)


@pytest.mark.parametrize('value', [np.nan, np.inf, 'x', True])
def test_load_refuses_what_are_no_finite_numbers(tmp_path, value):
  weights = variables()
  weights['params']['stem']['bias'] = np.array([0, value])
  save(tmp_path, weights)
  with pytest.raises(UserError, match='params/stem/bias that is not of finite'):
    bundle.load(tmp_path, variables())


@pytest.mark.parametrize('seed', range(5))
def test_load_names_damage_anywhere(tmp_path, seed):
  path = save(tmp_path, variables())
  if seed % 2:
    with np.load(path) as arrays:
      np.savez_compressed(path, **arrays)
  random, whole = np.random.default_rng(seed), path.read_bytes()
  wanted = bundle.load(tmp_path, variables())
  for _ in range(100):
    data = bytearray(whole)
    data[random.integers(len(data))] = random.integers(256)
    path.write_bytes(data)
    try:
      loaded = bundle.load(tmp_path, variables())
    except UserError as error:
      assert 'weights.npz' in str(error)
    else:  # A date, or the like, has changed.
      jax.tree.map(np.testing.assert_array_equal, loaded, wanted)


@pytest.mark.parametrize(
  'damage', ['cut', 'flipped', 'pickled', 'empty', 'one array']
)
def test_load_names_a_damaged_file(tmp_path, damage):
  path = save(tmp_path, variables())
  data = bytearray(path.read_bytes())
  if damage == 'pickled':
    np.savez(path, bias=np.array([{}], object))
  elif damage == 'one array':
    with path.open('wb') as file:
      np.save(file, np.ones(3))
  elif damage == 'flipped':
    start = data.index(b'kernel.npy') + 200
    data[start] ^= 1
    path.write_bytes(data)
  else:
    path.write_bytes(data[: len(data) // 2 if damage == 'cut' else 0])
  with pytest.raises(UserError, match=r'weights\.npz is damaged') as error:
    bundle.load(tmp_path, variables())
  # NumPy's advice to load it as a pickle would run what is in it.
  assert 'unsafely' not in str(error.value)


def test_load_names_weights_that_are_not_there(tmp_path):
  path = save(tmp_path, variables())
  path.unlink()
  path.symlink_to(tmp_path / 'gone')
  assert bundle.is_bundle(tmp_path)
  with pytest.raises(UserError, match=r'weights\.npz cannot be read: No such'):
    bundle.load(tmp_path, variables())


@pytest.mark.parametrize('dtype', ['>f4', 'f8'])
def test_load_gives_the_networks_own_type(tmp_path, dtype):
  path = save(tmp_path, variables())
  with np.load(path) as arrays:
    np.savez(path, **{n: arrays[n].astype(dtype) for n in arrays})
  dtypes = jax.tree.map(lambda leaf: leaf.dtype, variables())
  loaded = bundle.load(tmp_path, variables())
  assert jax.tree.map(lambda leaf: leaf.dtype, loaded) == dtypes


def test_load_refuses_what_is_not_finite_in_the_networks_own_type(tmp_path):
  path = save(tmp_path, variables())
  with np.load(path) as arrays:
    np.savez(path, **{n: np.full(arrays[n].shape, 1e300) for n in arrays})
  with pytest.raises(UserError, match='not of finite numbers'):
    bundle.load(tmp_path, variables())
