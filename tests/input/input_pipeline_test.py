import dataclasses
import itertools

import cv2
import numpy as np
import pytest

from hg_jax.annotations import mpii
from hg_jax.annotations.mpii import SKELETON
from hg_jax.annotations.people import People
from hg_jax.base import affine
from hg_jax.base.config import Augment, Config, Data
from hg_jax.base.errors import UserError
from hg_jax.input import (
  augmentation,
  examples,
  input_pipeline,
  person_crops,
  records,
)
from hg_jax.input.records import Crops
from hg_jax.media import images
from hg_jax.model import heatmaps

CONFIG = Config(batch_size=6, steps=9, data=Data(image_size=64))


@pytest.fixture(scope='module')
def crops(prepared) -> Crops:
  return records.read(prepared, 'train')


def assert_same(batches, expected):
  for batch, other in itertools.zip_longest(batches, expected):
    assert batch.keys() == other.keys()
    for name in batch:
      np.testing.assert_array_equal(batch[name], other[name], name)


def dots(joint: int) -> Crops:
  """Ten black crops, each with a white dot on its only labeled joint."""
  rng = np.random.default_rng(joint)
  center = rng.uniform(300, 400, (10, 2)).astype(np.float32)
  side = rng.uniform(80, 200, 10).astype(np.float32)
  joints = np.zeros((10, 16, 2), np.float32)
  joints[:, joint] = center + rng.uniform(-0.25, 0.25, (10, 2)) * side[:, None]
  labeled = np.zeros((10, 16), bool)
  labeled[:, joint] = True
  image_to_crop = affine.image_to_crop(center, 2 * side, 256)
  encoded = []
  for place in affine.apply(joints, image_to_crop)[:, joint]:
    picture = np.zeros((256, 256, 3), np.uint8)
    # OpenCV's pixel centers are whole numbers, and it draws to 1/16 px.
    spot = np.rint((place - 0.5) * 16).astype(int)
    cv2.circle(picture, spot, 5 * 16, (255,) * 3, -1, cv2.LINE_AA, 4)
    encoded.append(cv2.imencode('.png', picture)[1])
  people = People(
    image=np.array([f'{row}.png' for row in range(10)]),
    center=center,
    side=side,
    joints=joints,
    labeled=labeled,
    known=np.ones_like(labeled),
    visible=labeled,
    reference=side / 10,
    image_index=np.arange(10),
    person_index=np.arange(10) + 100,
  )
  return Crops(
    skeleton=SKELETON,
    people=people,
    encoded=encoded,
    image_to_crop=image_to_crop,
    margin=2.0,
    size=256,
  )


@pytest.mark.parametrize('joint', [0, 6, 10, 14])
def test_heatmap_peaks_where_the_picture_shows_the_joint(joint):
  config = Config(
    batch_size=50,
    data=Data(image_size=128),
    augment=Augment(saturation=0, brightness=0, contrast=0),
  )
  batch = input_pipeline.train_batch(dots(joint), config, first=0, count=50)
  flip = augmentation.sample(
    config.augment, seed=config.seed, first=0, count=50
  ).flip
  assert 10 < flip.sum() < 40
  y, x = np.mgrid[:128, :128] + 0.5
  for i in range(50):
    # The mirrored picture of a right wrist is one of a left wrist.
    channel = SKELETON.flip[joint] if flip[i] else joint
    assert batch['heatmaps'][i].sum(axis=(0, 1)).nonzero()[0] == [channel]
    heatmap = batch['heatmaps'][i, :, :, channel]
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    light = batch['image'][i, :, :, 0].astype(float)
    seen = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
    # The dot's center lies in the pixel of the peak; 0.05 for drawing it.
    off = np.abs(seen / heatmaps.STRIDE - [column + 0.5, row + 0.5])
    assert off.max() <= 0.55


def test_known_joints_change_sides_in_a_mirrored_example():
  crops = dots(joint=0)
  known = np.zeros((10, 16), bool)
  known[:, 10] = True
  people = dataclasses.replace(crops.people, known=known)
  crops = dataclasses.replace(crops, people=people)
  config = Config(data=Data(image_size=64))
  drawn = examples.training(crops, config, first=0, count=50)
  flip = augmentation.sample(
    config.augment, seed=config.seed, first=0, count=50
  ).flip
  joints = np.where(flip, SKELETON.flip[10], 10)
  np.testing.assert_array_equal(drawn.known, np.eye(16, dtype=bool)[joints])


def test_batches_do_not_depend_on_threads(crops):
  single = input_pipeline.train_batches(crops, CONFIG, start=0, threads=1)
  for threads in (2, 7):
    assert_same(
      input_pipeline.train_batches(crops, CONFIG, start=0, threads=threads),
      single,
    )
    single = input_pipeline.train_batches(crops, CONFIG, start=0, threads=1)


@pytest.mark.parametrize('start', [1, 4, 8])
def test_resumed_batches_equal_uninterrupted_ones(crops, start):
  whole = list(input_pipeline.train_batches(crops, CONFIG, start=0))
  assert len(whole) == CONFIG.steps
  resumed = input_pipeline.train_batches(crops, CONFIG, start=start)
  assert_same(resumed, whole[start:])


def test_processes_share_each_batch(crops):
  whole = input_pipeline.train_batches(crops, CONFIG, start=2)
  shares = [
    input_pipeline.train_batches(
      crops, CONFIG, start=2, process=process, processes=3
    )
    for process in range(3)
  ]
  together = [
    {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for parts in zip(*shares, strict=True)
  ]
  assert_same(together, whole)


def test_epoch_shows_every_person_once(crops):
  everyone = range(len(crops))
  shown = np.concatenate(
    [
      examples.training(crops, CONFIG, first=6 * step, count=6).row
      for step in range(len(crops) // 3 + 1)
    ]
  )
  for epoch in range(2):
    assert sorted(shown[len(crops) * epoch :][: len(crops)]) == list(everyone)


def test_evaluation_shows_everyone_once_in_order(crops):
  people = len(crops)
  batches = list(input_pipeline.evaluation_batches(crops, CONFIG, 7))
  padding = 7 * len(batches) - people
  assert 0 < padding < 7
  mask = np.concatenate([batch['mask'] for batch in batches])
  np.testing.assert_array_equal(mask, [True] * people + [False] * padding)
  rows = [*range(people), *[people - 1] * padding]
  for name in ('joints', 'labeled', 'visible', 'reference'):
    values = np.concatenate([batch[name] for batch in batches])
    expected = getattr(crops.people, name)[rows]
    np.testing.assert_array_equal(values, expected, name)


def test_evaluation_is_never_augmented(crops):
  wild = dataclasses.replace(
    CONFIG, augment=Augment(rotation=180, scale=0.9, flip=1), seed=5
  )
  none = dataclasses.replace(
    CONFIG, augment=Augment(**dict.fromkeys(Augment.__slots__, 0.0))
  )
  assert_same(
    input_pipeline.evaluation_batches(crops, wild, 8),
    input_pipeline.evaluation_batches(crops, none, 8),
  )


def test_evaluation_heatmaps_map_back_to_the_image(crops):
  (batch,) = input_pipeline.evaluation_batches(crops, CONFIG, len(crops))
  found, score = heatmaps.decode(batch['heatmaps'])
  image = affine.apply(found, batch['heatmap_to_image'])
  # Half a pixel of a heatmap that shows 10 head sizes in 16 px.
  error = np.abs(image - batch['joints']).max(-1) / batch['reference'][:, None]
  drawn = (score > 0) & batch['labeled']
  assert drawn.sum() > 300
  assert error[drawn].max() <= 0.5 * 10 / 16 * 1.001


def test_inputs_are_black_only_outside_the_crop():
  crops = dots(joint=3)
  white = cv2.imencode('.png', np.full((256, 256, 3), 255, np.uint8))[1]
  crops = dataclasses.replace(crops, encoded=[white] * 10)
  config = Config(
    augment=Augment(saturation=0, brightness=0, contrast=0),
  )
  batch = input_pipeline.train_batch(crops, config, first=0, count=40)
  assert (batch['image'] == 255).all()


def test_narrow_crops_are_refused_with_a_margin():
  config = dataclasses.replace(CONFIG, augment=Augment(rotation=45, scale=1))
  with pytest.raises(UserError, match=r'--margin=2\.828'):
    next(input_pipeline.train_batches(dots(0), config, start=0))


def test_undecodable_crop_is_named():
  crops = dots(joint=0)
  crops.encoded[7] = np.zeros(100, np.uint8)
  config = dataclasses.replace(
    CONFIG,
    seed=next(  # The person is not in the first batch.
      seed
      for seed in range(99)
      if 7 not in augmentation.rows(10, seed=seed, first=0, count=6)
    ),
  )
  batches = input_pipeline.train_batches(crops, config, start=0)
  next(batches)
  with pytest.raises(UserError, match=r'person 107 of 7\.png is corrupt'):
    list(batches)


def test_input_is_the_area_average_of_the_photo(mpii_data, tmp_path):
  everyone = mpii.load(mpii_data / 'annot' / 'mpii_annotations.json.gz')
  folder = mpii_data / 'images'
  there = [(folder / image).exists() for image in everyone['train'].image]
  people = everyone['train'][np.flatnonzero(there)[::60]]
  source = {'images': str(folder), 'annotations': '', 'size': 448}
  person_crops.write(
    {'train': people},
    SKELETON,
    source | {'margin': augmentation.margin(Augment())},
    tmp_path,
    files={name: folder / name for name in people.image},
    sizes={},
    skip_unreadable=False,
  )
  crops = records.read(tmp_path, 'train')
  config = Config(augment=Augment(saturation=0, brightness=0, contrast=0))
  count = len(crops)
  batch = input_pipeline.train_batch(crops, config, first=0, count=count)
  drawn = examples.training(crops, config, first=0, count=count)
  errors = []
  for i, row in enumerate(drawn.row):
    photo = images.read(folder / crops.people.image[row])
    image_to_input = crops.image_to_crop[row] @ drawn.crop_to_input[i]
    finer = affine.to_opencv(image_to_input @ affine.scale(8))
    ideal = cv2.resize(
      cv2.warpAffine(photo, finer, (2048, 2048)),
      (256, 256),
      interpolation=cv2.INTER_AREA,
    )
    errors.append(np.abs(ideal.astype(float) - batch['image'][i]))
  assert count > 30
  assert np.mean(errors) < 2  # gray levels
