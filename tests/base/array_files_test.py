import h5py
import numpy as np
import pytest
import scipy.io

from hg_jax.base import array_files
from hg_jax.base.errors import UserError


@pytest.mark.parametrize('compressed', [False, True])
def test_read_mat_gives_the_variables_that_are_there(compressed, tmp_path):
  path = tmp_path / 'a.mat'
  scipy.io.savemat(
    path, {'joints': np.eye(3), 'name': 'a'}, do_compression=compressed
  )
  assert sorted(array_files.mat_names(path)) == ['joints', 'name']
  found = array_files.read_mat(path, ['joints', 'absent'])
  np.testing.assert_array_equal(found['joints'], np.eye(3))
  assert 'absent' not in found


def test_cut_mat_is_named_in_one_line(tmp_path):
  path = tmp_path / 'a.mat'
  scipy.io.savemat(path, {'joints': np.eye(30)})
  path.write_bytes(path.read_bytes()[:500])
  with pytest.raises(UserError, match=r'a.mat cannot be read \(.*\). Copy it.'):
    with array_files.reading(path, 'Copy it.'):
      array_files.read_mat(path, ['joints'])


def test_newer_mat_is_named_with_what_to_do(tmp_path):
  path = tmp_path / 'a.mat'
  h5py.File(path, 'w').close()
  with pytest.raises(ValueError, match='-v7.3; save it with -v7 instead'):
    array_files.read_mat(path, ['joints'])


def test_read_npz_refuses_a_cut_file(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, a=np.eye(30))
  np.testing.assert_array_equal(array_files.read_npz(path)['a'], np.eye(30))
  path.write_bytes(path.read_bytes()[:500])
  with pytest.raises(ValueError, match='not an .npz file, or cut short'):
    array_files.read_npz(path)
