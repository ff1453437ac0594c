import h5py
import numpy as np
import pytest
import scipy.io

from hg_jax.annotations import forms, lsp, mpii_skeleton
from hg_jax.base.errors import UserError


def save(path, joints):
  scipy.io.savemat(path, {'joints': joints})
  return path


@pytest.fixture
def joints():
  """x, y and a number of four people with 14 joints."""
  joints = np.zeros((4, 14, 3))
  joints[..., 0] = np.arange(14) * 10 + 1
  joints[..., 1] = np.arange(14) * 5 + 2
  joints[1, 3, 2] = 1
  return joints


def test_lsp_has_hidden_joints_which_are_known(joints, tmp_path):
  path = save(tmp_path / 'joints.mat', joints.transpose(2, 1, 0))
  splits, skeleton, notes = lsp.read(path)
  people = splits['train']
  assert list(people.image[:2]) == ['im0001.jpg', 'im0002.jpg']
  assert people.labeled.all() and people.known.all() and not notes
  assert not people.visible[1, 3] and people.visible.sum() == 4 * 14 - 1
  assert skeleton.metric == 'pck_torso'
  # From the left shoulder, joint 9, to the right hip, joint 2.
  np.testing.assert_allclose(people.reference, np.hypot(70, 35))
  # 130 px wide and 65 px high.
  np.testing.assert_allclose(people.side, 1.25 * 130)
  np.testing.assert_allclose(people.center, [[66, 34.5]] * 4)


def test_lsp_extended_does_not_know_what_is_not_labeled(joints, tmp_path):
  joints[..., 2] = 1
  joints[1, 3, 2] = 0
  joints[2, 9, 2] = 0
  joints[3, 1:, 2] = 0
  path = save(tmp_path / 'joints.mat', joints.transpose(1, 2, 0))
  splits, _, notes = lsp.read(path)
  people = splits['train']
  assert list(people.image) == ['im00001.jpg', 'im00002.jpg', 'im00003.jpg']
  assert not people.known[1, 3] and not people.labeled[1, 3]
  assert people.known.sum() == 3 * 14 - 2
  assert people.reference[2] == 0  # without a left shoulder
  assert notes == ['1 people without two labeled joints left out']


def test_lsp_validates_on_its_second_thousand(tmp_path):
  joints = np.random.default_rng(0).uniform(1, 99, (3, 14, 2000))
  path = save(tmp_path / 'joints.mat', joints)
  splits = forms.load(path).splits
  assert splits['train'].image[-1] == 'im1000.jpg'
  assert splits['valid'].image[0] == 'im1001.jpg'
  assert len(splits['train']) == len(splits['valid']) == 1000


def test_lsp_of_another_shape_is_refused(tmp_path):
  path = save(tmp_path / 'joints.mat', np.zeros((16, 3, 5)))
  with pytest.raises(UserError, match=r'\(16, 3, 5\)'):
    lsp.read(path)


def test_lsp_joints_are_mpiis_by_name():
  matches = lsp.skeleton_lib.matches(lsp.SKELETON, mpii_skeleton.SKELETON)
  names = [None if k is None else lsp.SKELETON.joints[k] for k in matches]
  assert names == [
    None if name in ('pelvis', 'thorax') else name
    for name in mpii_skeleton.SKELETON.joints
  ]


@pytest.mark.parametrize(
  ('joints', 'said'),
  [
    (np.zeros((3, 14, 0)), 'has 0 people'),
    (np.zeros((14, 3, 5)), 'has 5 people, and none with two'),
    (np.full((3, 14, 2), np.nan), 'has 2 people, and none with two'),
    (np.linspace(1, 1e30, 84).reshape(14, 3, 2), 'joints of person 1 that'),
    ('text', 'not numbers'),
    ({'x': 1}, 'not numbers'),
    (np.array([[1, 2], [3]], object), 'not numbers'),
  ],
)
def test_lsp_of_nobody_is_refused(joints, said, tmp_path):
  scipy.io.savemat(tmp_path / 'joints.mat', {'joints': joints})
  with pytest.raises(UserError, match=f'joints.mat .*{said}'):
    forms.load(tmp_path / 'joints.mat')


def test_damaged_lsp_is_refused(joints, tmp_path):
  path = tmp_path / 'joints.mat'
  for compressed in (False, True):
    scipy.io.savemat(path, {'joints': joints}, do_compression=compressed)
    whole = path.read_bytes()
    broken = whole[:150] + bytes(byte ^ 255 for byte in whole[150:])
    for data in (b'', whole[:10], whole[:100], whole[:200], broken):
      path.write_bytes(data)
      with pytest.raises(UserError, match='joints.mat cannot be read'):
        forms.load(path)


def test_newer_form_of_matlab_is_named(tmp_path):
  with h5py.File(tmp_path / 'joints.mat', 'w') as file:
    file['joints'] = np.zeros((10, 3, 14))
  with pytest.raises(UserError, match="MATLAB's form -v7.3; save it .* -v7"):
    forms.load(tmp_path / 'joints.mat')
