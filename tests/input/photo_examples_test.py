"""Whole photos for the finder: prepared, placed at random, and read again."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from hg_jax import prepare
from hg_jax.annotations import forms, squares
from hg_jax.annotations.people import Squares
from hg_jax.base.config import Augment, Config, Data
from hg_jax.base.errors import UserError
from hg_jax.input import photo_examples, photo_records
from hg_jax.model import people_maps

SIZE = 64
CONFIG = Config(
  task='people',
  data=Data(image_size=SIZE),
  augment=Augment(saturation=0, contrast=0, brightness=0, mosaic=0.5),
)


def spot(path, x, y, width=120, height=80):
  """A photo with a white disk, about whose middle a person's square lies."""
  picture = np.zeros((height, width, 3), np.uint8)
  cv2.circle(picture, (x, y), 6, (255, 255, 255), -1)
  Image.fromarray(picture).save(path)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  folder = tmp_path_factory.mktemp('photos')
  places = {f'{n}.png': (20 + 10 * n, 30 + 5 * n) for n in range(6)}
  for name, place in places.items():
    spot(folder / name, *place)
  table = Squares(
    image=np.array(list(places)),
    center=np.array(list(places.values()), np.float32),
    side=np.full(6, 30, np.float32),
  )
  files = {name: folder / name for name in places}
  photo_records.write(
    folder, 'train', table, files, size=96, progress=lambda: None
  )
  return photo_records.read(folder, 'train')


def test_prepared_photos_are_shrunk_with_their_squares(photos):
  assert photos.decode(2).shape == (64, 96, 3)
  np.testing.assert_allclose(photos.middles[2], [(0.8 * 40, 0.8 * 40)])
  np.testing.assert_allclose(photos.sides[2], [0.8 * 30])


def test_middles_stay_on_what_they_are_of(photos):
  # Wherever a disk comes to lie, in a photo or in a mosaic, mirrored or not,
  # the target's peak is on it.
  batch = photo_examples.train_batch(photos, CONFIG, first=0, count=40)
  seen = 0
  for image, target in zip(batch['image'], batch['heatmaps'], strict=True):
    for row, column in np.argwhere(target[..., 0] == 1):
      y, x = 4 * row, 4 * column
      assert image[y : y + 4, x : x + 4].max() > 100
      seen += 1
  assert seen > 40


def test_example_is_a_function_of_its_number(photos):
  together = photo_examples.train_batch(photos, CONFIG, first=10, count=4)
  alone = photo_examples.train_batch(photos, CONFIG, first=12, count=1)
  for name in together:
    np.testing.assert_array_equal(together[name][2], alone[name][0])


def test_small_people_are_ignored(photos):
  photos.sides[0][:] = SIZE * 14 / 192 - 1
  batch, *_ = next(
    photo_examples.evaluation_batches(photos, CONFIG, 2, range(1))
  )
  assert not batch['heatmaps'][0, ..., 0].any()
  assert (batch['heatmaps'][0, ..., 3] == 0).any()
  assert (batch['heatmaps'][1, ..., 0] == 1).sum() == 1
  photos.sides[0][:] = 24


def test_evaluation_shows_every_photo_once_and_pads(photos):
  masks = [
    batch['mask'].tolist()
    for batch, _, _ in photo_examples.evaluation_batches(
      photos, CONFIG, 4, range(2)
    )
  ]
  assert masks == [[True] * 4, [True, True, False, False]]


def test_letterbox_keeps_the_shape():
  image, scale = photo_examples.letterbox(
    np.full((50, 100, 3), 200, np.uint8), SIZE
  )
  assert scale == 0.64
  assert (image[:32] == 200).all() and not image[32:].any()


def person(name, x, others=(), validation=0.0):
  joints = [[x + k, 50 + k, 1] for k in range(16)]
  entry = {
    'img_paths': name,
    'objpos': [x, 50],
    'scale_provided': 0.4,
    'joint_self': joints,
    'annolist_index': int(name[0]) + 1,
    'people_index': x,
    'isValidation': validation,
    'objpos_other': {},
    'scale_provided_other': {},
  }
  if others:
    # One other is a list of two numbers, several a list of such lists.
    positions = [[other, 50] for other in others]
    scales = [0.4] * len(others)
    alone = len(others) == 1
    entry['objpos_other'] = positions[0] if alone else positions
    entry['scale_provided_other'] = scales[0] if alone else scales
  return entry


def test_mpii_names_the_others_in_a_photo(tmp_path):
  rows = [
    person('1.png', 40, others=[80]),
    person('2.png', 30, others=[60, 90], validation=1.0),
    # Who is named beside another, and has joints, is one person.
    person('2.png', 60, others=[30, 90]),
  ]
  path = tmp_path / 'mpii_annotations.json'
  path.write_text(json.dumps(rows))
  everyone = squares.everyone(path, forms.load(path).splits)
  found = sorted(
    zip(everyone.image.tolist(), everyone.center[:, 0].tolist(), strict=True)
  )
  assert found == [
    ('1.png', 40), ('1.png', 80), ('2.png', 30), ('2.png', 60), ('2.png', 90),
  ]  # fmt: skip
  # SPEC 2.1: 15 x scale px down, 200 x 1.25 x scale wide.
  np.testing.assert_allclose(everyone.center[:, 1], 50 + 15 * 0.4)
  np.testing.assert_allclose(everyone.side, 250 * 0.4)


def test_prepare_writes_everybody_of_coco(tmp_path):
  images, annotations = [], []
  for n in range(4):
    spot(tmp_path / f'{n}.png', 40, 40)
    images.append({'id': n, 'file_name': f'{n}.png'})
    annotations.append(
      {
        'image_id': n,
        'category_id': 1,
        'bbox': [20, 20, 40, 30],
        'keypoints': [30, 30, 2, 50, 40, 2],
      }
    )
  # Without joints, and a crowd.
  box = {'image_id': 0, 'category_id': 1, 'keypoints': [0] * 6}
  annotations.append(box | {'bbox': [80, 30, 20, 40]})
  annotations.append(box | {'bbox': [0, 0, 99, 60], 'iscrowd': 1})
  category = {'id': 1, 'name': 'crane', 'keypoints': ['beak', 'tail']}
  path = tmp_path / 'cranes.json'
  path.write_text(
    json.dumps(
      {'images': images, 'annotations': annotations, 'categories': [category]}
    )
  )
  prepare.prepare(
    images=tmp_path,
    annotations=path,
    data_dir=tmp_path / 'data',
    size=64,
    photo_size=96,
    validation_share=0.25,
  )
  sides = {}
  for split in ('train', 'valid'):
    photos = photo_records.read(tmp_path / 'data', split)
    sides |= dict(zip(photos.image.tolist(), photos.sides, strict=True))
  assert sorted(sides) == ['0.png', '1.png', '2.png', '3.png']
  np.testing.assert_allclose(np.sort(sides['0.png']), [40, 40])  # 0.8 x 1.25
  assert len(sides['1.png']) == 1


def test_data_without_photos_is_named(tmp_path):
  with pytest.raises(UserError, match='has no whole photos .*prepare it'):
    photo_records.read(tmp_path, 'train')


def test_maps_of_the_finder_are_not_mirrored():
  assert people_maps.SKELETON.flip == (0, 1)
