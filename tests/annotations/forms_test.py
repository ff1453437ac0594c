import copy
import gzip
import json
import os
import re
import warnings

import cv2
import h5py
import numpy as np
import pytest

from hg_jax import prepare
from hg_jax.annotations import forms
from hg_jax.base.errors import UserError
from hg_jax.input import records
from hg_jax.metrics import oks


def contents(images: int = 4) -> dict:
  """Two flies in each picture."""
  return {
    'images': [
      {'id': n, 'file_name': f'{n}.png', 'width': 90, 'height': 70}
      for n in range(images)
    ],
    'categories': [{'id': 1, 'name': 'fly', 'keypoints': ['head', 'tail']}],
    'annotations': [
      {
        'id': n,
        'image_id': n // 2,
        'category_id': 1,
        'bbox': [10, 10, 40, 30],
        'keypoints': [20, 20, 2, 40, 30, 2],
      }
      for n in range(2 * images)
    ],
  }


def save(path, value, **settings):
  path.write_text(json.dumps(value), **settings)
  return path


def change(field, value):
  """The flies, the first of them with another field."""
  changed = contents()
  changed['annotations'][0][field] = value
  return changed


def category(**fields):
  """The flies, their category with other fields."""
  changed = contents()
  changed['categories'][0] |= fields
  return changed


def mpii_row(**fields):
  """A person of MPII, with other fields."""
  row = {
    'img_paths': '1.jpg', 'objpos': [50, 60], 'scale_provided': 2,
    'joint_self': [[10, 20, 1]] * 16, 'annolist_index': 1, 'people_index': 1,
  }  # fmt: skip
  return row | fields


def test_validation_is_drawn_by_image(tmp_path):
  path = save(tmp_path / 'a.json', contents(10))
  splits = forms.load(path, validation_share=0.3).splits
  assert {s: len(p) for s, p in splits.items()} == {'train': 14, 'valid': 6}
  assert not set(splits['train'].image) & set(splits['valid'].image)


def test_validation_can_be_another_file(tmp_path):
  train = save(tmp_path / 'train.json', contents())
  other = contents(1)
  other['images'][0]['file_name'] = 'other.png'
  valid = save(tmp_path / 'valid.json', other)
  splits = forms.load(train, validation=valid).splits
  assert len(splits['train']) == 8
  assert list(splits['valid'].image) == ['other.png'] * 2
  other['categories'][0]['keypoints'] = ['head', 'wing']
  with pytest.raises(UserError, match='valid.json has other joints'):
    forms.load(train, validation=save(valid, other))


def test_share_that_leaves_a_split_empty_is_refused(tmp_path):
  path = save(tmp_path / 'a.json', contents(4))
  for share in (0.0, 0.1, 1.0):
    with pytest.raises(UserError, match='training and validation need one'):
      forms.load(path, validation_share=share)


def test_settings_of_coco_are_refused_for_mpii(tmp_path):
  rows = [mpii_row(img_paths=f'{n}.jpg') for n in range(10)]
  path = save(tmp_path / 'a.json', rows)
  with pytest.raises(UserError, match='--category is for COCO'):
    forms.load(path, category='person')
  with pytest.raises(UserError, match='--metric is for COCO'):
    forms.load(path, metric='pck_box')
  # Without isValidation the share is drawn, by image.
  found = forms.load(path)
  assert {s: len(p) for s, p in found.splits.items()} == {
    'train': 9,
    'valid': 1,
  }
  assert '1 images drawn for validation' in found.notes[-1]


HOSTILE = {
  'keypoints that are no triples': (change('keypoints', [1, 2, 2, 3]), '4 num'),
  'fewer joints than names': (change('keypoints', [1, 2, 2]), '3 numbers'),
  'an image that is missing': (change('image_id', 99), 'image 99'),
  'NaN': (change('keypoints', [float('nan'), 1, 2, 3, 4, 2]), 'x = nan'),
  'an id twice': (change('id', 3), 'annotation 3 is there twice'),
  'v of 3': (change('keypoints', [1, 2, 3, 3, 4, 2]), 'v = 3'),
  'no category with keypoints': (
    contents() | {'categories': [{'id': 1, 'name': 'fly'}]},
    'no category has "keypoints"',
  ),
  'an image without a name': (
    contents() | {'images': [{'id': 0}]},
    'images.0.: expected an object with file_name',
  ),
  'two images of an id': (
    contents() | {'images': [{'id': 0, 'file_name': 'a'}] * 2},
    'two images have the id 0',
  ),
  'no annotations': (contents() | {'annotations': []}, 'nobody of category'),
  'a bbox of text': (
    change('bbox', 'all of it'),
    r'annotations\[0\].bbox: expected a list',
  ),
  'annotations of another tool': (
    {'shapes': []},
    'it has shapes, where images',
  ),
  'an empty object': ({}, 'it has nothing'),
  'categories by name': (
    contents() | {'categories': {'fly': 1}},
    'categories: expected a list, not an object',
  ),
  'no list of images': (
    contents() | {'images': None},
    'images: expected a list',
  ),
  'a list of numbers': ([1, 2], r'\[0\]: expected an object, not a whole'),
  'a number': (7, 'expected an object, not a whole number'),
  'text': ('people', 'expected an object, not text'),
  'a joint a million px away': (
    change('keypoints', [1e30, 1, 2, 3, 4, 2]),
    'x = 1e',
  ),
  'a box a million px wide': (change('bbox', [0, 0, 1e30, 2]), 'has bbox'),
  'names in one text': (
    category(keypoints='head,tail'),
    r's\[0\].keypoints: expected',
  ),
  'a name twice': (category(keypoints=['tail', 'tail']), 'a joint twice'),
  'limbs from 0': (category(skeleton=[[0, 1]]), 'counted from 1 to 2'),
  'a limb of one joint': (
    category(skeleton=[[1]]),
    r's\[0\].skeleton\[0\]: exp',
  ),
  'an image of another name': (change('image_id', '01'), "image '01', which"),
  'an image of a list': (change('image_id', [1]), r'\[0\].image_id: expected'),
  'an id of a list': (
    change('id', [1]),
    r'\[0\].id: expected a number or text',
  ),
  'an integer beyond floats': (
    change('keypoints', [10**400, 1, 2, 3, 4, 2]),
    r'annotations\[0\].keypoints: expected numbers',
  ),
  'a crowd of text': (change('iscrowd', 'no'), r'\[0\].iscrowd: expected true'),
  'an image named by a number': (
    contents() | {'images': [{'id': 0, 'file_name': 7}]},
    r'images\[0\].file_name: expected text, not a whole number',
  ),
  'an image as wide as text': (
    contents() | {'images': [{'id': 0, 'file_name': 'a', 'width': 'wide'}]},
    r'images\[0\].width: expected a number or null, not text',
  ),
  'a bbox with a name': (
    change('bbox', [1, 2, 'x', 4]),
    r'annotations\[0\].bbox\[2\]: expected a number, not text',
  ),
  'a bbox of names': (
    change('bbox', {'1': 1, '2': 1}),
    r'\[0\].bbox: expected',
  ),
  'names in objects': (
    category(keypoints=[{'name': 'head'}, {'name': 'tail'}]),
    r'categories\[0\].keypoints\[0\]: expected a whole number or text',
  ),
  'a name of no text': (
    category(keypoints=[None, 'tail']),
    r'keypoints\[0\]: .* not null',
  ),
  'a blank name': (category(keypoints=['  ', 'tail']), "has '  '; each"),
  'a name of two lines': (category(keypoints=['a\nb', 'tail']), r'a\\nb'),
  'a name that is not Unicode': (
    category(keypoints=['\ud800', 'tail']),
    r'has .\\ud800',
  ),
  'half a limb': (category(skeleton=[[1.5, 2]]), r'skeleton\[0\]\[0\]: exp'),
  'a limb of digits': (category(skeleton=['12']), r'skeleton\[0\]: expected'),
  'an image of no name': (
    contents() | {'images': [{'id': 0, 'file_name': ''}]},
    r'images\[0\].file_name: expected text of length',
  ),
  'an id of two lines': (
    change('id', 'a\nb') | {'images': []},
    r'annotation a\\nb is of image 0',
  ),
  'people of MPII without a joint': (
    [mpii_row(joint_self=[[0, 0, 0]] * 16)],
    'nobody in it has a labeled joint',
  ),
  'a scale beyond floats': (
    [mpii_row(scale_provided=1e308)],
    'of person 0 .* is not in px',
  ),
  'a left joint alone': (
    category(keypoints=['left_wing', 'tail']),
    "'left_wing' is on the left",
  ),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_file_is_refused_in_one_line(name, tmp_path):
  value, words = HOSTILE[name]
  path = save(tmp_path / 'a.json', value)
  with (
    warnings.catch_warnings(action='error'),
    pytest.raises(UserError, match=words) as refused,
  ):
    forms.load(path)
  line = str(refused.value)
  assert str(path) in line and '\n' not in line and len(line) < 400


@pytest.mark.parametrize('bbox', [[10, 10, 0, 0], None, []])
def test_box_of_no_size_gives_way_to_the_joints(bbox, tmp_path):
  path = save(tmp_path / 'a.json', change('bbox', bbox))
  splits = forms.load(path, validation_share=0.25).splits
  people = [p[p.person_index == 0] for p in splits.values()]
  (first,) = [p for p in people if len(p)]
  np.testing.assert_array_equal(first.center, [[30, 25]])
  np.testing.assert_array_equal(first.side, [1.25 * 20])


def test_image_under_two_ids_is_in_one_split(tmp_path):
  twice = contents(6)
  for n in (1, 3, 5):
    twice['images'][n]['file_name'] = f'./{n - 1}.png'
  path = save(tmp_path / 'a.json', twice)
  splits = forms.load(path, validation_share=0.34).splits
  assert {s: len(p) for s, p in splits.items()} == {'train': 8, 'valid': 4}
  assert not set(splits['train'].image) & set(splits['valid'].image)


@pytest.mark.parametrize('name', ['a.json', 'a.json.gz', 'A.JSON'])
@pytest.mark.parametrize('compress', [gzip.compress, lambda data: data])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_json_is_known_by_its_bytes(name, compress, encoding, tmp_path):
  data = json.dumps(contents()).encode(encoding)
  (tmp_path / name).write_bytes(compress(data))
  assert forms.load(tmp_path / name, validation_share=0.25).splits


def test_damaged_json_is_refused_in_one_line(tmp_path):
  path = tmp_path / 'a.json.gz'
  whole = gzip.compress(json.dumps(contents()).encode())
  broken = whole[:20] + bytes([whole[20] ^ 255]) + whole[21:]
  nested = b'{"images": ' + b'[' * 100_000 + b']' * 100_000 + b'}'
  for data in (whole[:-20], broken, whole + b'more', nested, b'', b'\0' * 9):
    path.write_bytes(data)
    with pytest.raises(UserError, match='a.json.gz(: images| is not JSON)'):
      forms.load(path)


@pytest.mark.parametrize('mark', ['0', 0, None, False])
def test_crowd_can_be_told_in_text(mark, tmp_path):
  path = save(tmp_path / 'a.json', change('iscrowd', mark))
  plain = save(tmp_path / 'b.json', contents())
  people, others = (
    forms.load(p, validation_share=0.25).splits['train'] for p in (path, plain)
  )
  assert len(people) == len(others)


def test_byte_order_mark_is_read_over(tmp_path):
  path = save(tmp_path / 'a.json', contents(), encoding='utf-8-sig')
  assert path.read_bytes().startswith(b'\xef\xbb\xbf')
  assert len(forms.load(path, validation_share=0.5).splits['train']) == 4


def test_joints_outside_of_the_image_are_kept_and_counted(tmp_path):
  path = save(tmp_path / 'a.json', change('keypoints', [-5, 20, 2, 95, 30, 2]))
  found = forms.load(path, validation_share=0.25)
  assert '2 joints outside of their images kept' in found.notes
  joints = np.concatenate([p.joints for p in found.splits.values()])
  assert joints[..., 0].min() == -5


@pytest.mark.parametrize(
  'bbox, notes',
  [([50, 10, 40, 30], 1), ([0, 0, 1e-6, 1e-6], 1), ([10, 10, 10, 10], 0)],
)
def test_box_that_holds_no_joint_is_counted(bbox, notes, tmp_path):
  path = save(tmp_path / 'a.json', change('bbox', bbox))
  found = forms.load(path, validation_share=0.25)
  counted = [note for note in found.notes if 'box holds none' in note]
  assert len(counted) == notes


def test_share_of_people_without_joints_is_refused(tmp_path):
  path = tmp_path / 'test.h5'
  with h5py.File(path, 'w') as file:
    file['imgname'] = [b'1.jpg'] * 3
    file['index'] = file['person'] = [30_000, 30_001, 30_002]
    file['center'], file['scale'] = [[50.0, 60.0]] * 3, [1.0] * 3
    file['part'], file['visible'] = np.zeros((3, 16, 2)), np.zeros((3, 16))
    file['normalize'] = [-1.0] * 3
  assert len(forms.load(path).splits['test']) == 3
  with pytest.raises(UserError, match='test.h5 has none'):
    forms.load(path, validation_share=0.5)


def test_ids_can_be_floats_or_text(tmp_path):
  value = contents()
  for entry in value['images']:
    entry['id'] = float(entry['id'])
  value['annotations'][0]['category_id'] = 1.0
  path = save(tmp_path / 'a.json', value)
  splits = forms.load(path, validation_share=0.25).splits
  assert sum(map(len, splits.values())) == 8


def test_file_beyond_the_memory_is_refused(tmp_path, monkeypatch):
  path = save(tmp_path / 'a.json', contents())
  monkeypatch.setattr(forms, '_free_memory', lambda: 1000)
  with pytest.raises(UserError, match='reading it takes about .* GB of memory'):
    forms.load(path)


@pytest.mark.parametrize(
  'keypoints', [[[20, 20, 2], [40, 30, 2]], '20 20 2 40 30 2'.split()]
)
def test_keypoints_can_be_triples_or_text(keypoints, tmp_path):
  path = save(tmp_path / 'a.json', change('keypoints', keypoints))
  file = forms.read_coco(path)
  np.testing.assert_array_equal(
    file.annotations[0].keypoints, file.annotations[1].keypoints
  )


@pytest.mark.parametrize(
  'fields',
  [{'area': None}, {'area': 0}, {'area': ''}, {'area': 'NaN'}, {'bbox': []},
   {'bbox': None}, {'iscrowd': None}, {'iscrowd': '0'}, {'image_id': '0'},
   {'image_id': 0.0}, {'category_id': '1'}, {'num_keypoints': None}],
)  # fmt: skip
def test_fields_of_labeling_tools_are_read_alike_by_both(fields, tmp_path):
  value = contents()
  value['annotations'][0] |= fields
  path = save(tmp_path / 'a.json', value)
  file = forms.read_coco(path)
  people, skeleton = forms.read_everyone(path, file)
  assert len(people) == 8
  truth = file.truth()
  assert len(truth['annotations']) == 8
  points = people.joints.reshape(8, 4).tolist()
  results = [
    {
      'image_id': entry['image_id'],
      'category_id': entry['category_id'],
      'keypoints': [*point[:2], 1, *point[2:], 1],
      'score': 1.0,
    }
    for entry, point in zip(truth['annotations'], points, strict=True)
  ]
  found = oks.average_precision(truth, results, category=1, sigmas=(0.1, 0.1))
  assert found['AP'] == 1


def test_prepare_takes_images_in_subfolders_once_each(tmp_path):
  value = contents(6)
  folder = tmp_path / 'images'
  for n, entry in enumerate(value['images']):
    entry['file_name'] = f'{"ab"[n % 2]}/{n // 2}.png'
    path = folder / entry['file_name']
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((70, 90, 3), 40 * n, np.uint8))
  out = tmp_path / 'out'
  prepare.prepare(
    images=folder,
    annotations=save(tmp_path / 'a.json', value),
    data_dir=out,
    size=64,
    validation_share=0.34,
  )
  train, valid = (records.read(out, split) for split in ('train', 'valid'))
  assert len(train) == 8 and len(valid) == 4
  for crops in (train, valid):
    assert crops.skeleton.joints == ('head', 'tail')
    for row in range(len(crops)):
      letter, number = crops.people.image[row][:3].split('/')
      gray = 40 * (2 * int(number) + 'ab'.index(letter))
      middle = crops.decode(row)[20:40, 20:40]
      assert abs(float(middle.mean()) - gray) < 3
  with pytest.raises(UserError, match='--validation_share=0.34, not None'):
    prepare.prepare(
      images=folder, annotations=tmp_path / 'a.json', data_dir=out, size=64
    )


def test_prepare_refuses_images_of_another_size(tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  for n in range(4):
    # The first one lies on its side, as where a phone's photo was annotated
    # upright.
    height, width = (90, 70) if n == 0 else (70, 90)
    picture = np.zeros((height, width, 3), np.uint8)
    cv2.imwrite(str(folder / f'{n}.png'), picture)
  settings = {
    'images': folder,
    'annotations': save(tmp_path / 'a.json', contents()),
    'data_dir': tmp_path / 'out',
    'size': 64,
    'validation_share': 0.25,
  }
  words = '0.png has 70 x 90 px, and its annotations are of 90 x 70; give'
  with pytest.raises(UserError, match=words):
    prepare.prepare(**settings)
  prepare.prepare(**settings, skip_unreadable=True)
  assert sum(records.counts(tmp_path / 'out').values()) == 6
  assert re.search(words, (tmp_path / 'out' / 'report.txt').read_text())


def test_prepare_takes_validation_people_alone(tmp_path, prepared):
  rows = json.loads((prepared / 'drawn' / 'annotations.json').read_text())
  people = [row for row in copy.deepcopy(rows) if row['isValidation']]
  prepare.prepare(
    images=prepared / 'drawn' / 'images',
    annotations=save(tmp_path / 'a.json', people),
    data_dir=tmp_path / 'out',
    size=64,
  )
  assert len(records.read(tmp_path / 'out', 'valid')) == len(people)
  report = (tmp_path / 'out' / 'report.txt').read_text()
  assert 'no people to train on' in report


@pytest.mark.parametrize('name', ['pipe.mat', 'pipe.json', 'pipe.h5'])
def test_load_refuses_a_pipe_without_waiting(name, tmp_path):
  os.mkfifo(tmp_path / name)
  with pytest.raises(UserError, match=f'{name} is not a file or folder'):
    forms.load(tmp_path / name)
