"""The numbers are of SPEC 2.2 and 8, computed there from valid.h5."""

import gzip
import json
import re
import shutil

import h5py
import numpy as np
import pytest
import scipy.io

from hg_jax.annotations import mpii
from hg_jax.base import affine
from hg_jax.base.errors import UserError


@pytest.fixture(scope='module')
def valid(mpii_data):
  return mpii.load(mpii_data / 'annot' / 'valid.h5')['valid']


@pytest.fixture(scope='module')
def splits(mpii_data):
  return mpii.load(mpii_data / 'annot' / 'mpii_annotations.json.gz')


def test_flip_exchanges_the_names_of_left_and_right():
  exchanged = {'r': 'l', 'l': 'r'}
  for joint, mirrored in enumerate(mpii.SKELETON.flip):
    side, _, rest = mpii.SKELETON.joints[joint].partition('_')
    expected = (
      f'{exchanged[side]}_{rest}'
      if side in exchanged
      else mpii.SKELETON.joints[joint]
    )
    assert mpii.SKELETON.joints[mirrored] == expected


def test_groups_pool_the_joints_they_are_named_for():
  names = mpii.SKELETON.joints
  for group, joints in mpii.SKELETON.groups.items():
    assert all(group.lower() in names[joint] for joint in joints)
    assert len(joints) == (1 if group == 'Head' else 2)


def test_shipped_list_is_that_of_valid_h5(mpii_data):
  image, image_index, person_index = mpii.validation_list()
  with h5py.File(mpii_data / 'annot' / 'valid.h5') as file:
    np.testing.assert_array_equal(image, file['imgname'][:].astype(str))
    np.testing.assert_array_equal(image_index, file['index'][:])
    np.testing.assert_array_equal(person_index, file['person'][:])


def test_shipped_list_is_in_standard_order_without_repetition():
  image, image_index, person_index = mpii.validation_list()
  pairs = list(zip(image_index.tolist(), person_index.tolist(), strict=True))
  assert len(pairs) == 2958
  assert len(set(image)) == 2729
  assert pairs == sorted(set(pairs))


def test_valid_h5_has_the_known_counts(valid):
  def counts(mask):
    return {
      name: int(mask[:, list(joints)].sum())
      for name, joints in (
        *mpii.SKELETON.groups.items(),
        ('pelvis', (6,)),
        ('thorax', (7,)),
        ('neck', (8,)),
      )
    }

  assert len(valid) == 2958
  assert valid.labeled.sum() == 44_239
  assert valid.visible.sum() == 33_996
  assert (valid.labeled & ~valid.visible).sum() == 10_243
  assert counts(valid.labeled) == {
    'Ankle': 4234, 'Knee': 4963, 'Hip': 5777, 'pelvis': 2878, 'thorax': 2932,
    'neck': 2932, 'Head': 2931, 'Wrist': 5837, 'Elbow': 5867, 'Shoulder': 5888,
  }  # fmt: skip
  assert counts(valid.visible) == {
    'Ankle': 3177, 'Knee': 3854, 'Hip': 4206, 'pelvis': 1620, 'thorax': 1691,
    'neck': 2932, 'Head': 2931, 'Wrist': 4395, 'Elbow': 4590, 'Shoulder': 4600,
  }  # fmt: skip


def test_square_is_ten_head_sizes(valid, splits):
  for people in (valid, splits['train'], splits['valid']):
    np.testing.assert_allclose(people.side, 10 * people.reference, rtol=1e-6)


@pytest.mark.parametrize(
  'row, low, high, joints, back',
  [
    (0, (376, -179), (1555, 1000), [(23, 48), (23, 37), (28, 33), (36, 34),
     (28, 38), (27, 48), (32, 33), (33, 23), (32, 22), (31, 14), (26, 21),
     (22, 28), (28, 23), (37, 23), (42, 28), (41, 35)], (758, 562)),
    (1, (95, 26), (536, 466), [(32, 56), (32, 39), (28, 36), (37, 36)],
     (238, 303)),
    (1000, (301, 115), (666, 480), [(11, 68), (23, 54), (24, 38), (27, 38)],
     (419, 345)),
  ],
)  # fmt: skip
def test_geometry_equals_golden_values(valid, row, low, high, joints, back):
  """Crop corners, joints on the 64 grid, a heatmap position in the image."""
  person = valid[[row]]
  to_crop = affine.image_to_crop(person.center, person.side, 256)[0]
  to_heatmap = affine.image_to_crop(person.center, person.side, 64)[0]
  corners = affine.apply(np.array([(0, 0), (256, 256)]), np.linalg.inv(to_crop))
  np.testing.assert_array_equal(np.trunc(corners), [low, high])
  on_grid = np.floor(affine.apply(person.joints[0], to_heatmap))
  np.testing.assert_array_equal(on_grid[: len(joints)], joints)
  position = affine.apply(np.array([(20.75, 40.25)]), np.linalg.inv(to_heatmap))
  np.testing.assert_array_equal(np.trunc(position), [back])


def test_json_has_newells_splits(splits):
  assert {split: len(people) for split, people in splits.items()} == {
    'train': 22_246,
    'valid': 2_958,
  }
  train, valid = set(splits['train'].image), set(splits['valid'].image)
  assert (len(train), len(valid)) == (14_679, 2_729)
  assert not train & valid


def test_json_marks_the_shipped_list(splits):
  people = splits['valid']
  found = (people.image, people.image_index, people.person_index)
  np.testing.assert_array_equal(found, mpii.validation_list())


def test_json_equals_valid_h5_up_to_rounding(splits, valid):
  people = splits['valid']
  for name in ('image', 'image_index', 'person_index'):
    np.testing.assert_array_equal(getattr(people, name), getattr(valid, name))
  # The json's scale has 3 decimals: half of the last one, times 15, 250, 25.
  np.testing.assert_allclose(people.center, valid.center, atol=0.0076)
  np.testing.assert_allclose(people.side, valid.side, atol=0.126)
  np.testing.assert_allclose(people.reference, valid.reference, atol=0.0126)

  # x = 0.27, truncated to 0, reads as not labeled.
  differs = people.labeled != valid.labeled
  np.testing.assert_array_equal(np.argwhere(differs), [(1856, 9)])
  both = people.labeled & valid.labeled
  np.testing.assert_array_equal(people.visible[both], valid.visible[both])
  ours, theirs = people.joints[both], valid.joints[both]
  # Rounded up to an integer in the json, truncated to the one below in h5.
  above = np.trunc(ours) != theirs
  assert above.any(axis=1).sum() == 5
  np.testing.assert_array_equal(ours[above], theirs[above] + 1)


def test_evaluation_forms_hold_the_same_people(mpii_data, splits, valid):
  annot = mpii_data / 'annot'
  truth = mpii.load_evaluation(annot / 'gt_valid.mat')
  people = splits['valid']
  for name in ('image', 'image_index', 'person_index', 'labeled'):
    np.testing.assert_array_equal(getattr(truth, name), getattr(people, name))
  assert truth.labeled.sum() == 44_240  # SPEC 2.2: with row 1856's head
  np.testing.assert_allclose(truth.reference, valid.reference, rtol=1e-5)
  np.testing.assert_allclose(truth.side, 10 * truth.reference, rtol=1e-6)
  # The .mat has 0 for some coordinates of 13 joints (SPEC 2.1), not missing.
  far = np.abs(truth.joints - people.joints) > 0.001
  assert far.any(axis=-1).sum() == 13
  assert (truth.joints[far] < 0.001).all()

  for form in ('valid.h5', ''):  # the file and its folder
    again = mpii.load_evaluation(annot / form)
    np.testing.assert_array_equal(again.joints, valid.joints)


def save_h5(path, people, **replaced):
  """Writes people as pose-hg-demo's files have them."""
  columns = {
    'imgname': people.image.astype('S'),
    'index': people.image_index.astype(float),
    'person': people.person_index.astype(float),
    'center': people.center,
    'scale': people.side / 200,
    'part': np.trunc(people.joints),
    'visible': people.visible.astype(float),
    'normalize': people.reference,
  }
  with h5py.File(path, 'w') as file:
    for name, column in (columns | replaced).items():
      file[name] = column


def test_folder_gives_the_splits_of_its_files(mpii_data, splits, tmp_path):
  shutil.copy(mpii_data / 'annot' / 'valid.h5', tmp_path)
  train = splits['train'][:50]
  save_h5(tmp_path / 'train.h5', train[::-1])
  save_h5(tmp_path / 'test.h5', splits['train'][50:53],
          normalize=np.full(3, -1.0))  # fmt: skip
  loaded = mpii.load(tmp_path)
  assert {split: len(people) for split, people in loaded.items()} == {
    'train': 50,
    'valid': 2958,
    'test': 3,
  }
  np.testing.assert_array_equal(loaded['train'].image, train.image)
  np.testing.assert_array_equal(loaded['train'].joints, np.trunc(train.joints))
  np.testing.assert_allclose(loaded['train'].side, train.side, rtol=1e-6)
  np.testing.assert_allclose(loaded['test'].side, 10 * loaded['test'].reference)
  assert not loaded['test'].labeled.any()


@pytest.fixture
def person():
  """A row of the json, of an image that is in no split."""
  return {
    'img_paths': '1.jpg',
    'objpos': [50.0, 60.0],
    'scale_provided': 2.0,
    'joint_self': [[10.0, 20.0, 1.0]] * 16,
    'annolist_index': 1.0,
    'people_index': 1.0,
    'isValidation': 0.0,
  }


@pytest.fixture
def train(person, tmp_path):
  """Twenty such people of one image."""
  rows = [person | {'people_index': number} for number in range(1, 21)]
  (tmp_path / 'twenty.json').write_text(json.dumps(rows))
  return mpii.load(tmp_path / 'twenty.json')['train']


def refusal(path):
  """The one line that names the file and what to give instead."""
  with pytest.raises(UserError) as refused:
    mpii.load(path)
  line = str(refused.value)
  assert str(path) in line and 'Give ' in line and '\n' not in line
  return line


def test_json_center_and_scale_are_adjusted_once(person, tmp_path):
  (tmp_path / 'a.json').write_text(json.dumps([person]))
  (people,) = mpii.load(tmp_path / 'a.json').values()
  np.testing.assert_array_equal(people.center, [(50, 60 + 15 * 2)])
  assert people.side == 200 * 1.25 * 2
  assert people.reference == 25 * 2
  assert people.image_index == people.person_index == 0


@pytest.mark.parametrize('name', ['a.mat', 'a.json', 'a.json.gz', 'a.h5'])
def test_foreign_and_empty_files_are_refused(tmp_path, name):
  path = tmp_path / name
  assert 'does not exist' in refusal(path)
  for content in (b'', b'nothing of the kind', b'\x00' * 600):
    path.write_bytes(content)
    assert re.search('cannot be read|not JSON', refusal(path))


def test_other_names_and_empty_folders_are_refused(tmp_path):
  assert 'no train.h5' in refusal(tmp_path)
  (tmp_path / 'a.txt').write_text('[]')
  assert 'not a .mat' in refusal(tmp_path / 'a.txt')


def test_truncated_files_are_refused(person, train, tmp_path):
  text = gzip.compress(json.dumps([person] * 50).encode())
  save_h5(tmp_path / 'whole.h5', train)
  scipy.io.savemat(
    tmp_path / 'whole.mat',
    {'RELEASE': {'annolist': np.random.default_rng(0).random(500)}},
    do_compression=True,
  )
  for name, content in {
    'a.json.gz': text,
    'a.json': gzip.decompress(text),
    'a.h5': (tmp_path / 'whole.h5').read_bytes(),
    'a.mat': (tmp_path / 'whole.mat').read_bytes(),
  }.items():
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert re.search('cannot be read|not JSON', refusal(tmp_path / name))


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize(
  'change, said',
  [
    ({'img_paths': ()}, '[1]: expected an object with img_paths'),  # a key less
    ({'objpos': ()}, '[1]: expected an object with objpos'),
    ({'img_paths': None}, '[1].img_paths: expected text, not null'),
    ({'joint_self': [[1.0, 2.0, 1.0]] * 17}, '[1].joint_self: expected a list'),
    (
      {'joint_self': [[1.0, 2.0]] * 16},
      '[1].joint_self[0]: expected a list',
    ),
    ({'joint_self': [[1e30, 2.0, 1.0]] * 16}, 'joints of person 1 (1.jpg)'),
    ({'joint_self': [[1e300, 2.0, 1.0]] * 16}, 'joints of person 1 (1.jpg)'),
    ({'objpos': [50.0, None]}, '[1].objpos[1]: expected a number, not null'),
    ({'scale_provided': float('nan')}, 'center of person 1'),
    ({'scale_provided': '2,5'}, '[1].scale_provided: expected a number, not'),
    ({'scale_provided': 0.0}, 'scale of person 1'),
    ({'annolist_index': 1.5}, '[1].annolist_index: expected a whole number'),
    ({'people_index': 2**40}, '[1].people_index: expected a whole number'),
    ({'people_index': 1}, 'person 0 of 1.jpg is there twice'),
    ({'isValidation': None}, '[1].isValidation: expected true or false'),
    ({'isValidation': 2}, '[1].isValidation: expected 0 or 1, not 2'),
  ],
)
def test_people_that_cannot_be_mpiis_are_refused(
  person, tmp_path, change, said
):
  changed = person | {'people_index': 2} | change
  row = {k: v for k, v in changed.items() if v != ()}
  (tmp_path / 'a.json').write_text(json.dumps([person, row]))
  assert said in refusal(tmp_path / 'a.json')


def test_validation_mark_can_be_text(person, tmp_path):
  rows = [
    person | {'img_paths': f'{mark}.jpg', 'isValidation': mark}
    for mark in ('0', '1.0', True)
  ]
  (tmp_path / 'a.json').write_text(json.dumps(rows))
  splits = {
    s: sorted(p.image) for s, p in mpii.load(tmp_path / 'a.json').items()
  }
  assert splits == {'train': ['0.jpg'], 'valid': ['1.0.jpg', 'True.jpg']}


def test_files_of_other_forms_are_refused(person, train, tmp_path):
  hrnet = {'image': '1.jpg', 'center': [5, 6], 'scale': 2.0, 'joints': []}
  for content in ([], {}, [1], [hrnet], {'annotations': [person]}):
    (tmp_path / 'a.json').write_text(json.dumps(content))
    refusal(tmp_path / 'a.json')
  scipy.io.savemat(tmp_path / 'a.mat', {'preds': np.zeros((3, 16, 2))})
  assert 'no struct RELEASE' in refusal(tmp_path / 'a.mat')
  save_h5(tmp_path / 'annot.h5', train, scale=train.side / 200 / 1.25)
  assert 'not adjusted' in refusal(tmp_path / 'annot.h5')
  # Row 6 of `annolist` is a validation image, and not this one.
  save_h5(tmp_path / 'other.h5', train, index=np.full(20, 6.0))
  assert 'image 6 is 1.jpg' in refusal(tmp_path / 'other.h5')


def test_json_form_takes_people_of_other_images(person, tmp_path):
  """Image 7, from 1, has a validation person in MPII; here its mark says."""
  rows = [
    person | {'annolist_index': image, 'people_index': number,
              'img_paths': f'{image}.jpg', 'isValidation': mark}
    for image, number, mark in ((7, 1, 0), (9, 2, 1), (9, 1, 1), (9, 3, 0))
  ]  # fmt: skip
  (tmp_path / 'a.json').write_text(json.dumps(rows))
  loaded = mpii.load(tmp_path / 'a.json')
  assert list(loaded['train'].image_index) == [6]
  assert list(loaded['valid'].person_index) == [0, 1]


def test_evaluation_needs_every_validation_person(person, tmp_path):
  path = tmp_path / 'a.json'
  path.write_text(json.dumps([person]))
  with pytest.raises(UserError, match='0 of the 2,958'):
    mpii.load_evaluation(path)
  wrong = {'pos_gt_src': np.zeros((16, 2, 5)), 'jnt_missing': np.zeros((16, 5)),
           'headboxes_src': np.zeros((2, 2, 5))}  # fmt: skip
  scipy.io.savemat(tmp_path / 'gt.mat', wrong)
  with pytest.raises(UserError, match=r'shape \(16, 2, 5\)'):
    mpii.load_evaluation(tmp_path / 'gt.mat')


@pytest.mark.parametrize('index', [lambda n: n, lambda n: 1])
def test_json_splits_by_image_whatever_its_indices(person, tmp_path, index):
  # Two people of a.jpg, one to validate on, and one each of b.jpg and c.jpg.
  rows = [
    person | {'img_paths': f'{image}.jpg', 'isValidation': mark,
              'annolist_index': index(n), 'people_index': 1}
    for n, (image, mark) in enumerate([('a', 1), ('a', 0), ('b', 0), ('c', 0)])
  ]  # fmt: skip
  (tmp_path / 'a.json').write_text(json.dumps(rows))
  loaded = mpii.load(tmp_path / 'a.json')
  assert sorted(loaded['train'].image) == ['b.jpg', 'c.jpg']
  assert list(loaded['valid'].image) == ['a.jpg']


def hrnet_row(row: dict) -> dict:
  """The same person as HRNet's train.json has it."""
  joints = np.array(row['joint_self'])
  missing = (joints[:, :2] == 0).all(axis=1)
  return {
    'image': row['img_paths'],
    'center': row['objpos'],
    'scale': row['scale_provided'],
    'joints': np.where(missing[:, None], -1, joints[:, :2]).tolist(),
    'joints_vis': np.where(missing, 0, joints[:, 2]).tolist(),
  }


def test_hrnet_json_holds_the_same_people(person, tmp_path):
  rows = [
    person | {'img_paths': f'{n}.jpg', 'annolist_index': n + 1}
    for n in range(3)
  ]
  rows[0]['joint_self'] = [[0, 0, 0]] + [[10.0, 20.0, 1.0]] * 15
  (tmp_path / 'a.json').write_text(json.dumps(rows))
  (tmp_path / 'train.json').write_text(json.dumps([*map(hrnet_row, rows)]))
  expected = mpii.load(tmp_path / 'a.json')['train']
  found = mpii.load(tmp_path / 'train.json')['train']
  for name, column in vars(expected).items():
    np.testing.assert_array_equal(getattr(found, name), column, name)
  assert not found.labeled[0, 0] and found.labeled.sum() == 47


def test_hrnet_folder_has_the_splits_of_its_files(person, tmp_path):
  for split in ('train', 'valid'):
    row = hrnet_row(person | {'img_paths': f'{split}.jpg'})
    (tmp_path / f'{split}.json').write_text(json.dumps([row]))
  loaded = mpii.load(tmp_path)
  assert {split: list(p.image) for split, p in loaded.items()} == {
    'train': ['train.jpg'],
    'valid': ['valid.jpg'],
  }


def test_hrnet_valid_json_equals_the_json(mpii_data, splits, tmp_path):
  path = mpii_data / 'annot' / 'mpii_annotations.json.gz'
  rows = json.loads(gzip.decompress(path.read_bytes()))
  valid = splits['valid']
  order = {
    key: n
    for n, key in enumerate(
      zip(valid.image_index.tolist(), valid.person_index.tolist(), strict=True)
    )
  }
  chosen = [None] * len(valid)
  for row in rows:
    if row['isValidation']:
      key = int(row['annolist_index']) - 1, int(row['people_index']) - 1
      chosen[order[key]] = hrnet_row(row)
  (tmp_path / 'valid.json').write_text(json.dumps(chosen))
  found = mpii.load(tmp_path / 'valid.json')['valid']
  for name, column in vars(valid).items():
    np.testing.assert_array_equal(getattr(found, name), column, name)
