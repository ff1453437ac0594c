"""Boxes are read as detectors, trackers and people write them."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from hg_jax.annotations import boxes
from hg_jax.base.errors import UserError


def test_square_is_a_quarter_larger_than_the_box():
  # SPEC 2.1: the square is 1.25 times a person's height.
  center, side = boxes.square((10, 20, 30, 80), 100, 100)
  np.testing.assert_array_equal(center, [25, 60])
  assert side == 100


@pytest.mark.parametrize(
  'box',
  [
    (0, 0, 0, 10),
    (0, 0, 10, -3),
    (0, 0, float('nan'), 10),
    (float('inf'), 0, 10, 10),
    (1, 2, 3),
    ('a', 0, 1, 1),
    7,
  ],
)
def test_square_refuses_what_is_not_a_box(box):
  with pytest.raises(UserError, match='must be x,y,width,height'):
    boxes.square(box, 100, 100)


@pytest.mark.parametrize(
  'box', [(100, 0, 5, 5), (0, 50, 5, 5), (-9, 0, 9, 9), (0, -9, 9, 9)]
)
def test_square_refuses_a_box_outside_the_photo(box):
  with pytest.raises(UserError, match='outside the image of 100 x 50 px'):
    boxes.square(box, 100, 50)


def test_square_refuses_a_box_that_is_many_images_large():
  boxes.square((-990, 0, 1000, 1000), 100, 50)
  with pytest.raises(UserError, match='32 times as large as the image of 100'):
    boxes.square((-990, 0, 1e9, 1e9), 100, 50)


@pytest.mark.parametrize(('box', 'path'), [([], None), (None, '')])
def test_read_boxes_refuses_an_empty_flag(box, path):
  with pytest.raises(UserError, match='box|read'):
    boxes.read_boxes(box, path)


def read(tmp_path, content, name='boxes.json', **settings):
  path = tmp_path / name
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  return boxes.read_boxes(None, str(path), **settings)


def test_boxes_name_a_file_by_path_name_or_stem(tmp_path):
  given = read(tmp_path, {'a/b.jpg': [[0, 0, 1, 1]], 'c.jpg': [[0, 0, 2, 2]]})
  assert given.of(Path('a/b.jpg'))[0].box == (0, 0, 1, 1)
  assert given.of(Path('x/c.jpg'))[0].box == (0, 0, 2, 2)
  assert given.of(Path('x/b.jpg')) is None


def test_boxes_name_a_file_in_either_form_of_unicode(tmp_path):
  composed, parted = (
    unicodedata.normalize(form, 'stra\u00dfe_\u00e9.jpg')
    for form in ('NFC', 'NFD')
  )
  assert composed != parted
  given = read(tmp_path, {composed: [[0, 0, 1, 1]]})
  assert len(given.of(Path(parted))) == 1
  given.require_use([Path(parted)])


@pytest.mark.parametrize('key', ['image_id', 'image', 'file_name'])
def test_coco_detections_are_people_above_the_score(key, tmp_path):
  name = 139 if key == 'image_id' else '000000000139.jpg'
  found = [
    {key: name, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'score': 0.9},
    {key: name, 'category_id': 1, 'bbox': [1, 2, 3, 5], 'score': 0.2},
    {key: name, 'category_id': 18, 'bbox': [1, 2, 3, 6], 'score': 0.9},
  ]
  given = read(tmp_path, found, min_score=0.3)
  image = Path('images/000000000139.jpg')
  assert given.of(image) == [boxes.Person((1, 2, 3, 4), 0.9)]
  assert given.image_id(image) == (139 if key == 'image_id' else 1)
  # Nobody was detected in it.
  assert given.of(Path('000000000140.jpg')) == []


def test_coco_detections_may_all_be_of_another_category(tmp_path):
  found = [{'image': 'a.jpg', 'category_id': 18, 'bbox': [1, 2, 3, 4]}]
  given = read(tmp_path, found)
  assert given.of(Path('a.jpg')) == [boxes.Person((1, 2, 3, 4), category=18)]
  other = {**found[0], 'category_id': 19}
  with pytest.raises(UserError, match='holds categories 18, 19 and not 1'):
    read(tmp_path, [*found, other])
  with pytest.raises(
    UserError, match=r'\[1\].category_id: expected a whole number'
  ):
    read(tmp_path, [*found, {**other, 'category_id': 'horse'}])


def test_coco_annotations_name_images_by_number(tmp_path):
  given = read(
    tmp_path,
    {
      'images': [{'id': 7, 'file_name': 'a.jpg'}, {'id': 8, 'file_name': 'b'}],
      'annotations': [{'image_id': 7, 'category_id': 1, 'bbox': [1, 2, 3, 4]}],
    },
  )
  assert given.of(Path('a.jpg')) == [boxes.Person((1, 2, 3, 4))]
  assert given.image_id(Path('a.jpg')) == 7
  assert given.of(Path('b.jpg')) == []


def test_mot_boxes_are_of_frames_and_tracks(tmp_path):
  text = '1,4,10,20,30,40,0.9,-1,-1,-1\n1,5,0,0,9,9,0.1\n3, 4, 11, 20, 30, 40\n'
  given = read(tmp_path, text, 'mot.txt', min_score=0.3)
  assert given.frames == {
    0: [boxes.Person((10, 20, 30, 40), 0.9, 4)],
    2: [boxes.Person((11, 20, 30, 40), 1.0, 4)],
  }
  given.require_use([Path('clip.mp4')])
  with pytest.raises(UserError, match='of one video, not of 2'):
    given.require_use([Path('clip.mp4'), Path('other.mp4')])


@pytest.mark.parametrize(
  ('content', 'name', 'complaint'),
  [
    ([], 'b.json', 'holds no detections'),
    (
      [{'bbox': [1, 2, 3, 4]}],
      'b.json',
      '.0.: expected an object with image_id',
    ),
    ([[1, 2, 3, 4]], 'b.json', '.0.: expected an object, not a list'),
    (
      {'images': [{}], 'annotations': []},
      'b.json',
      'images.0.: expected an object with id',
    ),
    ('1,2,3\n', 'b.txt', 'line 1 must be|must be x,y,width,height'),
    ('1,2,a,4,5,6\n', 'b.txt', 'line 1 must be frame'),
    ('0,1,2,3,4,5\n', 'b.txt', 'line 1 is of frame 0; the first is 1'),
    ('1.5,1,2,3,4,5\n', 'b.txt', 'line 1 is of frame 1.5'),
    ('nan,1,2,3,4,5\n', 'b.txt', 'line 1 must be frame'),
    ('1,inf,2,3,4,5\n', 'b.txt', 'line 1 must be frame'),
    ('1,1,2,3,4,5,nan\n', 'b.txt', 'line 1 must be frame'),
    ('', 'b.txt', 'holds no boxes'),
    ('7', 'b.json', 'expected an object'),
  ],
)
def test_read_boxes_refuses_other_files(content, name, complaint, tmp_path):
  with pytest.raises(UserError, match=f'{name}: .*({complaint})'):
    read(tmp_path, content, name)
