import gzip
import json

import cv2
import numpy as np
import pytest

from hg_jax.base import affine
from hg_jax.base.errors import UserError
from hg_jax.drawn import synthetic

PEOPLE = 40


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
  annotations = synthetic.draw(tmp_path_factory.mktemp('drawn'), PEOPLE, seed=3)
  return annotations.parent / 'images', json.loads(annotations.read_text())


def test_draw_repeats_with_the_same_seed(drawn, tmp_path):
  images, persons = drawn
  again = synthetic.draw(tmp_path, PEOPLE, seed=3)
  assert json.loads(again.read_text()) == persons
  for path in images.iterdir():
    assert (tmp_path / 'images' / path.name).read_bytes() == path.read_bytes()


def test_draw_of_more_people_begins_with_the_same(drawn, tmp_path):
  _, persons = drawn
  fewer = json.loads(synthetic.draw(tmp_path, 10, seed=3).read_text())
  other = json.loads(synthetic.draw(tmp_path, 10, seed=4).read_text())
  # The last image may have fewer people.
  whole = [row for row in fewer if row['img_paths'] != fewer[-1]['img_paths']]
  assert whole and whole == persons[: len(whole)]
  assert other[0]['joint_self'] != persons[0]['joint_self']


def test_draw_makes_exactly_as_many_people_as_asked(drawn):
  images, persons = drawn
  assert len(persons) == PEOPLE
  names = [person['img_paths'] for person in persons]
  assert set(names) == {path.name for path in images.iterdir()}
  assert {names.count(name) for name in names} <= {1, 2, 3}


def test_validation_has_a_fifth_and_images_of_its_own(drawn):
  _, persons = drawn
  splits = [
    {p['img_paths'] for p in persons if p['isValidation'] == split}
    for split in (0.0, 1.0)
  ]
  assert not splits[0] & splits[1]
  share = len(splits[1]) / (len(splits[0]) + len(splits[1]))
  assert 0.15 <= share <= 0.25


def test_annotations_have_the_fields_of_mpiis_file(drawn):
  images, persons = drawn
  for person in persons:
    picture = cv2.imread(str(images / person['img_paths']))
    height, width = picture.shape[:2]
    assert (person['img_width'], person['img_height']) == (width, height)
    x, y, visible = np.transpose(person['joint_self'])
    labeled = (x != 0) | (y != 0)
    assert len(x) == 16 and labeled.sum() >= 8
    assert (x >= 0).all() and (x < width).all()
    assert (y >= 0).all() and (y < height).all()
    assert set(visible) <= {0.0, 1.0} and not visible[~labeled].any()
    assert int(person['img_paths'][:-4]) == person['annolist_index']


def test_annotations_have_the_types_of_mpiis_file(drawn, mpii_data):
  path = mpii_data / 'annot' / 'mpii_annotations.json.gz'
  with gzip.open(path) as file:
    real = json.load(file)
  _, persons = drawn
  for others in (0, 1, 2):
    rows = [
      next(row for row in table if row['numOtherPeople'] == others)
      for table in (real, persons)
    ]
    theirs, ours = rows
    assert ours.keys() == theirs.keys()
    for field in theirs:
      assert type(ours[field]) is type(theirs[field]), field
      if isinstance(theirs[field], list):
        assert np.shape(ours[field]) == np.shape(theirs[field]), field


def test_other_people_are_the_other_rows_of_the_image(drawn):
  _, persons = drawn
  for person in persons:
    others = [
      row['joint_self']
      for row in persons
      if row['img_paths'] == person['img_paths'] and row is not person
    ]
    assert person['numOtherPeople'] == len(others)
    if others:
      expected = others if len(others) > 1 else others[0]
      assert person['joint_others'] == expected


def test_crop_of_ten_head_sizes_shows_the_person(drawn):
  _, persons = drawn
  shown = []
  for person in persons:
    joints = np.array(person['joint_self'])
    scale = person['scale_provided']
    x, y = person['objpos']
    # SPEC 2.1 and 0.4: MPII's raw center and scale, adjusted.
    to_crop = affine.image_to_crop(
      np.array([x, y + 15 * scale]), np.array(250 * scale), 1
    )
    place = affine.apply(joints[:, :2], to_crop)
    labeled = joints[:, :2].any(axis=1)
    shown.extend(((place >= 0) & (place <= 1)).all(axis=1)[labeled])
    # Head top to neck is 4 / 3 of the head size, 25 x scale; see `puppet`.
    if labeled[8] and labeled[9]:
      length = np.linalg.norm(joints[9, :2] - joints[8, :2])
      np.testing.assert_allclose(length, 4 / 3 * 25 * scale, atol=0.01)
  assert np.mean(shown) > 0.98


def test_joints_are_partly_occluded_and_mostly_labeled(drawn):
  _, persons = drawn
  joints = np.array([person['joint_self'] for person in persons])
  labeled = joints[..., :2].any(axis=-1)
  assert 0.9 < labeled.mean() < 1
  assert 0.7 < joints[..., 2][labeled].mean() < 0.98


@pytest.mark.parametrize(('people', 'seed'), [(9, 0), (0, 0), (10, -1)])
def test_draw_refuses_too_few_people_and_negative_seeds(tmp_path, people, seed):
  with pytest.raises(UserError, match='at least 10'):
    synthetic.draw(tmp_path / 'new', people, seed)
  assert not (tmp_path / 'new').exists()


def test_draw_names_a_folder_that_cannot_be_written_to(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match='file.*: .*; mend'):
    synthetic.draw(tmp_path / 'file', 10, seed=0)
