import dataclasses
import itertools
import os
import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest

from hg_jax.annotations import mpii
from hg_jax.base.config import Augment, Config
from hg_jax.base.errors import UserError
from hg_jax.input import (
  augmentation,
  input_pipeline,
  person_crops,
  records,
  resident,
)
from hg_jax.input.records import Crops

NO_COLOR = Augment(saturation=0, brightness=0, contrast=0)


exact_warp = pytest.mark.skipif(
  int(cv2.__version__.split('.')[0]) < 5,
  reason='OpenCV 4 rounds where it samples to 1/32 px, up to 5 gray levels off',
)


@pytest.fixture(scope='module')
def crops(mpii_data, tmp_path_factory) -> Crops:
  """Real people, one of whom has a smaller crop than the rest."""
  data_dir = tmp_path_factory.mktemp('resident')
  everyone = mpii.load(mpii_data / 'annot' / 'mpii_annotations.json.gz')
  folder = mpii_data / 'images'
  there = [(folder / image).exists() for image in everyone['train'].image]
  people = everyone['train'][np.flatnonzero(there)]
  rows = [*range(0, len(people), 120), people.side.argmin()]
  source = {'images': str(folder), 'annotations': '', 'size': 448}
  source |= {'margin': augmentation.margin(Augment())}
  person_crops.write(
    {'train': people[rows]},
    mpii.SKELETON,
    source,
    data_dir,
    files={name: folder / name for name in people.image},
    sizes={},
    skip_unreadable=False,
  )
  crops = records.read(data_dir, 'train')
  sizes = [len(crops.decode(row)) for row in range(len(crops))]
  assert min(sizes) < max(sizes) == 448
  return crops


@pytest.fixture(scope='module')
def stored(crops) -> jax.Array:
  return resident.store(crops, jax.local_devices()[:2])


def both(crops, stored, config):
  """Batches of the two ways to make inputs, each as [B, ...] on the host."""
  make = jax.jit(resident.make_inputs(config))
  for recipe, host in itertools.zip_longest(
    resident.train_recipes(crops, config, start=0),
    input_pipeline.train_batches(crops, config, start=0),
  ):
    device = jax.device_get(make(stored, recipe))
    assert device.keys() == host.keys()
    yield device, host


def difference(device, host) -> np.ndarray:
  assert device['image'].dtype == host['image'].dtype == np.uint8
  return np.abs(device['image'].astype(int) - host['image'])


@exact_warp
def test_crops_made_on_the_device_equal_opencvs_to_a_gray_level(crops, stored):
  config = Config(batch_size=8, steps=4, augment=NO_COLOR)
  for device, host in both(crops, stored, config):
    error = difference(device, host)
    assert error.max() <= 1
    # Halves may be rounded differently.
    assert (error > 0).mean() < 1e-3


@exact_warp
def test_colors_made_on_the_device_equal_opencvs(crops, stored):
  config = Config(batch_size=8, steps=4)
  for device, host in both(crops, stored, config):
    error = difference(device, host)
    # Contrast and saturation multiply a difference of the warp by 2 at most.
    assert error.max() <= 2
    assert (error > 0).mean() < 1e-3


def test_heatmaps_made_on_the_device_equal_the_hosts(crops, stored):
  config = Config(batch_size=8, steps=4)
  for device, host in both(crops, stored, config):
    np.testing.assert_array_equal(device['heatmaps'], host['heatmaps'])
    np.testing.assert_array_equal(device['known'], host['known'])
    assert host['heatmaps'].max() == 1


@exact_warp
def test_evaluation_inputs_of_device_and_host_are_equal(crops, stored):
  config = Config()
  host = input_pipeline.evaluation_batches(crops, config, 8)
  device = resident.evaluation_batches(
    stored, jax.jit(resident.make_inputs(config)), crops, config, 8
  )
  for batch, expected in itertools.zip_longest(device, host):
    assert batch.keys() == expected.keys()
    assert difference(jax.device_get(batch), expected).max() <= 1
    for name in batch.keys() - {'image'}:
      np.testing.assert_array_equal(batch[name], expected[name], name)


def test_the_parts_of_the_processes_make_the_whole_batch(crops, stored):
  config = Config(batch_size=8, steps=2)
  (whole,) = resident.train_recipes(crops, config, start=1)
  shares = [
    next(
      resident.train_recipes(
        crops, config, start=1, process=process, processes=2
      )
    )
    for process in range(2)
  ]
  for name, array in whole.items():
    parts = [share[name] for share in shares]
    np.testing.assert_array_equal(np.concatenate(parts), array, name)


def test_too_little_memory_is_refused_with_the_memory_needed(crops):
  large = dataclasses.replace(crops, size=200_000)
  gigabytes = len(crops) * 200_000**2 * 3 / 1e9
  with pytest.raises(UserError, match=f'needs {gigabytes:.1f} GB') as refused:
    resident.store(large, jax.local_devices()[:1])
  assert '--size' in str(refused.value)


def test_a_resident_run_makes_its_batches_without_tensorflow(prepared):
  program = f"""
import sys
sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None
import jax
from hg_jax import main
from hg_jax.input import records
from hg_jax.evaluation import evaluate
from hg_jax.model import hourglass
from hg_jax.training import train
from hg_jax.base.config import Config, Data
config = Config(data=Data(dir={str(prepared)!r}, image_size=64, resident=True))
crops = records.read(main.Path(config.data.dir), 'train')
model = hourglass.create_model(config, joints=16)
evaluator = evaluate.Evaluator(model, config, crops)
batch = next(train.train_batches(crops, config, 0, jax.local_devices()))
print(batch['recipe']['row'].shape)
print(next(evaluator._batches())['image'].shape)
"""
  done = subprocess.run(
    [sys.executable, '-c', program],
    env=os.environ | {'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == '(1, 16)\n(32, 64, 64, 3)\n'
