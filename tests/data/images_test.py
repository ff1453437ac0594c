"""Photos are read as they are shown, and seen where and as they are."""

import cv2
import numpy as np
import pytest
from PIL import Image

from hg_jax.base import affine, config
from hg_jax.base.errors import UserError
from hg_jax.data import augmentation, images

SIZE = 64


def smooth_noise(height, width, seed=0):
  noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3))
  blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 3)
  low, high = blurred.min(), blurred.max()
  return np.uint8(255 * (blurred - low) / (high - low))


def disk(height, width, center, radius):
  """A white disk on black, about (x, y) in continuous coordinates."""
  y, x = np.mgrid[:height, :width] + 0.5
  inside = np.hypot(x - center[0], y - center[1]) < radius
  return np.repeat(np.uint8(255 * inside)[..., None], 3, axis=-1)


def centroid(picture):
  weights = picture[..., 0].astype(float)
  y, x = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
  return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


@pytest.mark.parametrize(
  ('center', 'side'),
  [
    ((210.3, 150.8), 50.0),  # enlarged
    ((230.0, 160.0), 130.7),  # cut and shrunk
    ((150.0, 250.0), 801.3),  # beyond the image
    ((190.5, 120.0), 3000.0),  # shrunk in the image first
  ],
)
def test_input_map_finds_a_disk_in_the_input(center, side):
  spot = np.array([205.0, 148.0])
  radius = max(side / 12, 4)
  picture = disk(900, 700, spot, radius)
  seen, image_to_input = images.input_of(picture, center, side, SIZE)
  assert seen.shape == (SIZE, SIZE, 3) and seen.dtype == np.uint8
  # Its share of the image, which the disk may leave.
  expected = affine.apply(centroid(picture)[None], image_to_input)[0]
  np.testing.assert_allclose(centroid(seen), expected, atol=0.1)


@pytest.mark.parametrize('side', [512, 4096])
def test_input_averages_a_fine_pattern(side):
  y, x = np.mgrid[:side, :side]
  board = np.repeat(np.uint8(255 * ((x + y) % 2))[..., None], 3, axis=-1)
  seen, _ = images.input_of(board, (side / 2, side / 2), side, SIZE)
  inner = seen[4:-4, 4:-4].astype(int)
  assert np.abs(inner - 127).max() <= 1


def test_input_equals_that_of_a_prepared_crop():
  # As `prepare` cuts by default; only the JPEG is missing.
  margin = round(augmentation.margin(config.Augment()), 4)
  picture = smooth_noise(1400, 1200)
  center, side = np.array([600.4, 650.9]), 700.2
  crop, image_to_crop = images.cut(picture, center, margin * side, 448)
  seen, image_to_input = images.input_of(picture, center, side, 256)
  prepared = images.warp(
    crop, np.linalg.inv(image_to_crop) @ image_to_input, 256
  )
  np.testing.assert_array_equal(seen, prepared)


def test_input_of_a_panorama_is_shrunk_first():
  seen, image_to_input = images.input_of(
    np.full((10, 20_000, 3), 255, np.uint8), (10_000, 5), 25_000, 256
  )
  # 256 / 25,000 px of 10 px: a tenth of a row, white over 0.8 of the width.
  assert seen.sum(axis=0)[..., 0][40:-40] == pytest.approx(26, abs=4)
  assert seen[:, :24].max() == 0


@pytest.mark.parametrize('orientation', range(1, 9))
def test_read_upright_applies_the_orientation(orientation, tmp_path):
  picture = smooth_noise(40, 60)[..., ::-1]
  # EXIF: how the stored pixels must be turned to be upright.
  stored = {
    1: picture,
    2: picture[:, ::-1],
    3: picture[::-1, ::-1],
    4: picture[::-1],
    5: picture.transpose(1, 0, 2),
    6: picture.transpose(1, 0, 2)[::-1],
    7: picture.transpose(1, 0, 2)[::-1, ::-1],
    8: picture.transpose(1, 0, 2)[:, ::-1],
  }[orientation]
  photo = Image.fromarray(np.ascontiguousarray(stored))
  exif = photo.getexif()
  exif[0x0112] = orientation
  photo.save(tmp_path / 'photo.png', exif=exif)
  read = images.read_upright(tmp_path / 'photo.png')
  np.testing.assert_array_equal(read[..., ::-1], picture)
  # Annotations are of the pixels as stored.
  read = images.read(tmp_path / 'photo.png')
  np.testing.assert_array_equal(read[..., ::-1], stored)


def test_read_upright_converts_cmyk(tmp_path):
  picture = smooth_noise(40, 60)
  photo = Image.fromarray(picture[..., ::-1]).convert('CMYK')
  photo.save(tmp_path / 'photo.jpg', quality=98)
  read = images.read_upright(tmp_path / 'photo.jpg')
  assert np.abs(read.astype(int) - picture).max() < 8


def test_read_upright_names_a_broken_photo(tmp_path):
  path = tmp_path / 'photo.jpg'
  with pytest.raises(UserError, match='photo.jpg cannot be read: No such'):
    images.read_upright(path)
  path.write_text('not a photo')
  with pytest.raises(UserError, match='photo.jpg is not an image'):
    images.read_upright(path)
  encoded = cv2.imencode('.jpg', smooth_noise(40, 60))[1].tobytes()
  path.write_bytes(encoded[:-9])
  with pytest.raises(UserError, match='photo.jpg is a truncated JPEG'):
    images.read_upright(path)
