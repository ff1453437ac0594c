import copy
import json

import numpy as np
import pytest

from hg_jax.annotations import coco, coco_file
from hg_jax.base.errors import UserError

HORSES = {
  'images': [
    {'id': 7, 'file_name': 'a.jpg'},
    {'id': 9.0, 'file_name': 'stable/b.jpg'},
  ],
  'categories': [
    {
      'id': 1,
      'name': 'horse',
      'keypoints': ['nose', 'left_hoof', 'right_hoof'],
      'skeleton': [[1, 2], [1, 3]],
    },
    {'id': 2, 'name': 'cart'},
  ],
  'annotations': [
    {
      'id': 1,
      'image_id': 7,
      'category_id': 1,
      'bbox': [10, 20, 40, 80],
      'keypoints': [30, 30, 2, 15, 90, 1, 0, 0, 0],
    },
    {
      'id': 2,
      'image_id': 9,
      'category_id': 1,
      'keypoints': [10, 10, 2, 20, 50, 2, 40, 50, 2],
    },
    {
      'id': 3,
      'image_id': 9,
      'category_id': 1,
      'iscrowd': 1,
      'bbox': [0, 0, 9, 9],
      'keypoints': [1, 1, 2, 0, 0, 0, 0, 0, 0],
    },
    {'id': 4, 'image_id': 9, 'category_id': 1, 'keypoints': [0] * 9},
    {'id': 5, 'image_id': 9, 'category_id': 2, 'bbox': [0, 0, 9, 9]},
  ],
}


def changed(**annotation) -> dict:
  """The horses, the first of them with other fields."""
  contents = copy.deepcopy(HORSES)
  contents['annotations'][0] |= annotation
  return contents


def decoded(contents: dict) -> coco_file.File:
  return coco_file.decode(json.dumps(contents).encode(), 'a.json')


def horses() -> coco_file.File:
  return decoded(HORSES)


def test_read_gives_people_and_skeleton_and_counts_who_is_left_out():
  people, skeleton, notes = coco.read(horses())
  assert skeleton.joints == ('nose', 'left_hoof', 'right_hoof')
  assert skeleton.flip == (0, 2, 1)
  assert skeleton.limbs == ((0, 1), (0, 2))
  assert skeleton.groups == {'Nose': (0,), 'Hoof': (1, 2)}
  assert list(people.image) == ['a.jpg', 'stable/b.jpg']
  # Box 10..50 x 20..100, and the extent 10..40 x 10..50 of the joints.
  np.testing.assert_array_equal(people.center, [[30, 60], [25, 30]])
  np.testing.assert_array_equal(people.side, [100, 50])
  np.testing.assert_array_equal(people.reference, [80, 40])
  np.testing.assert_array_equal(people.labeled[0], [True, True, False])
  np.testing.assert_array_equal(people.known, people.labeled)
  np.testing.assert_array_equal(people.visible[0], [True, False, False])
  assert notes == [
    '1 annotations of other categories left out',
    '1 annotations of crowds left out',
    '1 without a labeled joint left out',
  ]


@pytest.mark.parametrize(
  'annotation, words',
  [
    ({'keypoints': [1, 2, 2, 4]}, 'annotation 1 has 4 numbers .* have 9'),
    ({'keypoints': [1, 2, 2, 4, 5, 2]}, 'annotation 1 has 6 numbers'),
    ({'keypoints': [1, 2, 3] * 3}, 'nose with v = 3, which must be 0, 1 or 2'),
    ({'keypoints': [float('nan'), 2, 2] * 3}, 'nose with x = nan, y = 2'),
    ({'keypoints': [None] * 9}, 'nose with'),
    ({'keypoints': ['x'] * 9}, r'annotations\[0\].keypoints: expected numb'),
    ({'bbox': [0, 0, float('nan'), 4]}, 'annotation 1 has bbox'),
    ({'bbox': [0, 0, 4]}, 'annotation 1 has bbox'),
    ({'image_id': 8}, 'annotation 1 is of image 8, which "images" lacks'),
    ({'id': 2}, 'annotation 2 is there twice'),
  ],
)
def test_read_names_the_annotation_that_is_wrong(annotation, words):
  with pytest.raises(UserError, match=words):
    coco.read(decoded(changed(**annotation)))


def test_read_takes_the_joints_extent_where_the_box_has_no_size():
  people, *_ = coco.read(decoded(changed(bbox=[10, 20, 0, 0])))
  # The joints lie at 15..30 x 30..90.
  np.testing.assert_array_equal(people.center[0], [22.5, 60])
  assert people.reference[0] == 60


def test_read_needs_a_category_with_keypoints():
  contents = copy.deepcopy(HORSES)
  del contents['categories'][0]['keypoints']
  with pytest.raises(UserError, match='no category .* horse, cart'):
    coco.read(decoded(contents))


def test_read_asks_which_of_several_categories():
  contents = copy.deepcopy(HORSES)
  contents['categories'][1]['keypoints'] = ['wheel']
  with pytest.raises(UserError, match='--category=NAME: horse, cart'):
    coco.read(decoded(contents))
  people, *_ = coco.read(decoded(contents), category='horse')
  assert len(people) == 2
  with pytest.raises(UserError, match="called 'cow'; there are horse, cart"):
    coco.read(decoded(contents), category='cow')


def test_pck_torso_measures_from_left_shoulder_to_right_hip():
  contents = copy.deepcopy(HORSES)
  contents['categories'][0]['keypoints'] = ['nose', 'l_shoulder', 'r_hip']
  people, skeleton, _ = coco.read(
    decoded(contents), metric='pck_torso', flip_pairs=[]
  )
  assert skeleton.metric == 'pck_torso'
  # The first has no hip; of the second 20 px lie between the two.
  np.testing.assert_array_equal(people.reference, [0, 20])
  with pytest.raises(UserError, match='--metric=pck_torso measures'):
    coco.read(horses(), metric='pck_torso')
