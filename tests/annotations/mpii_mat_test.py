"""The official .mat, written here with its published structure."""

import dataclasses
import gzip
import json

import numpy as np
import pytest
import scipy.io
from matlab import struct_array

from hg_jax.annotations import mpii
from hg_jax.base.errors import UserError


def annopoints(joints, form):
  """Points of a person; `form` is how is_visible is written."""
  points = []
  for joint, (x, y, visible) in enumerate(joints):
    if (x, y) == (0, 0):
      continue
    point = {'x': x, 'y': y, 'id': np.uint8(joint)}
    if form == 'number':
      point['is_visible'] = np.uint8(visible)
    if form == 'char' or not visible:
      point['is_visible'] = str(int(visible))
    points.append(point)  # else empty; or absent, if no point has it
  return struct_array([{'point': struct_array(points[::-1])}])


def annorect(row, number):
  """A person of the json as the official release has them."""
  diagonal = 25 * row['scale_provided'] / 0.6
  return {
    'x1': np.uint16(300),
    'y1': np.uint16(40),
    'x2': 300 + 0.6 * diagonal,
    'y2': 40 + 0.8 * diagonal,
    'annopoints': annopoints(
      row['joint_self'], ('number', 'char', 'empty')[number % 3]
    ),
    'scale': row['scale_provided'],
    'objpos': struct_array([dict(zip('xy', row['objpos'], strict=True))]),
  }


def images_of(rows, size):
  """`annolist` of the rows and of people who belong to no split but 'test'."""
  head = {'x1': 1, 'y1': 2, 'x2': 30, 'y2': 40}
  unplaced, pointless = annorect(rows[0], 0), annorect(rows[0], 0)
  del unplaced['scale'], unplaced['objpos'], pointless['annopoints']

  names = [f'empty{index}.jpg' for index in range(size)] + ['test.jpg']
  people = [[] for _ in names]
  for number, row in enumerate(rows):
    index = int(row['annolist_index']) - 1
    names[index] = row['img_paths']
    # Gaps in the numbering are people of whom there is a head box only.
    gap = int(row['people_index']) - 1 - len(people[index])
    people[index] += [head] * gap + [annorect(row, number)]
  for row in rows:
    if row['isValidation']:  # a bystander, who must not be trained on
      people[int(row['annolist_index']) - 1].append(annorect(rows[0], 0))
  people[int(rows[0]['annolist_index']) - 1] += [unplaced, pointless]
  place = struct_array([{'x': np.int16(70), 'y': 90.5}])
  people[-1] = [{'objpos': place}, {'objpos': place, 'scale': 2.0}]
  return [
    {
      'image': struct_array([{'name': name}]),
      'annorect': struct_array(annorects) if annorects else np.zeros((0, 0)),
      'vididx': 1,
    }
    for name, annorects in zip(names, people, strict=True)
  ]


def save_release(path, rows, size):
  """Writes the .mat of `size` training images and one test image."""
  images = images_of(rows, size)
  act = {'cat_name': 'sports', 'act_name': [], 'act_id': 3}
  release = {
    'annolist': struct_array(images),
    'img_train': np.array([[*[1] * size, 0]], np.uint8),
    'version': '12',
    'single_person': np.array([[np.array([[1]])]] * len(images), object),
    'act': struct_array([act] * len(images)),
    'video_list': np.array([['id']], object),
  }
  scipy.io.savemat(path, {'RELEASE': release}, do_compression=True)


@pytest.fixture(scope='module')
def both_forms(mpii_data, tmp_path_factory):
  """The people of the first images, as the .mat and as the json."""
  size = 250
  path = mpii_data / 'annot' / 'mpii_annotations.json.gz'
  rows = json.loads(gzip.decompress(path.read_bytes()))
  sample = json.loads(
    json.dumps([row for row in rows if row['annolist_index'] <= size])
  )
  for joint in sample[1]['joint_self'][1:]:
    joint[:] = [0, 0, 0]  # a single point, which MATLAB has no array for
  folder = tmp_path_factory.mktemp('forms')
  save_release(folder / 'release.mat', sample, size)
  (folder / 'sample.json').write_text(json.dumps(sample))
  return mpii.load(folder / 'release.mat'), mpii.load(folder / 'sample.json')


def test_official_mat_equals_the_json(both_forms):
  official, from_json = both_forms
  for split, people in from_json.items():
    assert len(people) > 20
    assert 0 < (people.labeled & ~people.visible).sum() < people.labeled.sum()
    for field in dataclasses.fields(people):
      ours, theirs = (
        getattr(form[split], field.name) for form in (official, from_json)
      )
      assert ours.dtype.kind == theirs.dtype.kind
      if field.name == 'reference':  # of a box, and of the scale
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
      else:
        np.testing.assert_array_equal(ours, theirs, field.name)


def test_official_mat_has_test_people_without_joints(both_forms):
  test = both_forms[0]['test']
  assert list(test.image) == ['test.jpg']
  assert (test.image_index[0], test.person_index[0]) == (250, 1)
  np.testing.assert_array_equal(test.center, [(70, 90.5 + 15 * 2)])
  assert (test.side[0], test.reference[0]) == (500, 50)
  assert not test.labeled.any() and not test.visible.any()


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'scale': 'tall'}, r"person 2 of annolist\(1\): .*'tall'"),
    ({'objpos': struct_array([{'x': 3.0}])}, r"2 of annolist\(1\): .*'y'"),
    ({'id': 16}, r'2 of annolist\(1\): .* the id 16, not 0 to 15'),
    ({'id': -1}, r'2 of annolist\(1\): .* the id -1'),
    ({'x1': np.nan}, r'reference of person 1 \(a.jpg\) is not in px'),
  ],
)
def test_person_who_is_wrong_is_named(change, said, tmp_path):
  row = {
    'objpos': [50.0, 60.0],
    'scale_provided': 2.0,
    'joint_self': [[10.0, 20.0, 1.0]] * 16,
  }
  wrong = annorect(row, 0) | change
  if 'id' in change:
    point = {'x': 1.0, 'y': 2.0, 'id': np.int8(wrong.pop('id'))}
    points = struct_array([point, point])
    wrong['annopoints'] = struct_array([{'point': points}])
  image = {
    'image': struct_array([{'name': 'a.jpg'}]),
    'annorect': struct_array([annorect(row, 0), wrong]),
  }
  release = {'annolist': struct_array([image]), 'img_train': np.ones((1, 1))}
  scipy.io.savemat(tmp_path / 'a.mat', {'RELEASE': release})
  with pytest.raises(UserError, match=f'a.mat cannot be read .*{said}'):
    mpii.load(tmp_path / 'a.mat')
