import numpy as np
import pytest
import scipy.io
from matlab import struct_array

from hg_jax.annotations import mpii
from hg_jax.base.errors import UserError
from hg_jax.evaluation import submission


@pytest.fixture
def release(tmp_path):
  """A training image between two test images of 3 people and of nobody."""
  place = {'objpos': struct_array([{'x': 70, 'y': 90.5}]), 'scale': 2.0}
  images = [
    {
      'image': struct_array([{'name': name}]),
      'annorect': struct_array([place] * people)
      if people
      else np.zeros((0, 0)),
    }
    for name, people in [('a.jpg', 3), ('train.jpg', 1), ('c.jpg', 0)]
  ]
  single = np.empty((3, 1), object)
  single[:, 0] = [np.array([[1], [3]]), np.array([[1]]), np.zeros((0, 0))]
  path = tmp_path / 'mpii_human_pose_v1_u12_1.mat'
  contents = {
    'annolist': struct_array(images),
    'img_train': np.array([[0, 1, 0]], np.uint8),
    'single_person': single,
  }
  scipy.io.savemat(path, {'RELEASE': contents})
  return path


def test_write_has_every_test_image(release, tmp_path):
  people = mpii.load(release)['test']
  assert len(people) == 3
  joints = np.random.default_rng(0).uniform(0, 500, (3, 16, 2))
  path = tmp_path / 'pred_keypoints_mpii.mat'
  # Persons 1 and 2 are predicted; 1 and 3 are single.
  counts = submission.write(path, release, people[:2], joints[:2])
  assert counts == {'annotated': 3, 'single': 2, 'scored': 1}
  pred = scipy.io.loadmat(path, simplify_cells=True)['pred']
  assert [image['image']['name'] for image in pred] == ['a.jpg', 'c.jpg']
  for person in range(2):
    points = pred[0]['annorect'][person]['annopoints']['point']
    assert [point['id'] for point in points] == list(range(16))
    np.testing.assert_array_equal(
      [p['x'] for p in points], joints[person, :, 0]
    )
    np.testing.assert_array_equal(
      [p['y'] for p in points], joints[person, :, 1]
    )
  assert not np.size(pred[0]['annorect'][2]['annopoints'])
  assert not np.size(pred[1]['annorect'])


def test_write_refuses_annotations_without_single_people(tmp_path):
  with pytest.raises(UserError, match='does not say who is scored'):
    submission.write(
      tmp_path / 'x.mat', tmp_path / 'test.h5', None, np.zeros((0, 16, 2))
    )


def test_write_names_annotations_that_are_gone_or_damaged(tmp_path):
  path, gone = tmp_path / 'pred.mat', tmp_path / 'gone.mat'
  with pytest.raises(UserError, match='gone.mat, from which .* put it back'):
    submission.write(path, gone, None, None)
  for content in (b'', b'PK nothing of the kind', b'\0' * 600):
    gone.write_bytes(content)
    with pytest.raises(
      UserError, match='gone.mat cannot be read .* put it back'
    ):
      submission.write(path, gone, None, None)
  assert not path.exists()
