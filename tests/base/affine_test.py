import cv2
import numpy as np
import pytest

from hg_jax.base import affine


@pytest.fixture
def rng():
  return np.random.default_rng(0)


def some_map(rng, shape=()):
  """A map of every kind of part: shift, size, turn and mirror."""
  return affine.image_to_crop(
    rng.uniform(50, 300, (*shape, 2)),
    rng.uniform(100, 500, shape),
    64,
    rotation=rng.uniform(-180, 180, shape),
    flip=rng.random(shape) < 0.5,
  )


@pytest.mark.parametrize(
  'map_, inverse',
  [
    (affine.translate([3, -5]), affine.translate([-3, 5])),
    (affine.scale(4), affine.scale(0.25)),
    (affine.rotate(25), affine.rotate(-25)),
    (affine.mirror(True), affine.mirror(True)),
    (affine.mirror(False), np.eye(3)),
  ],
)
def test_maps_have_inverses(map_, inverse):
  np.testing.assert_allclose(map_ @ inverse, np.eye(3), atol=1e-12)


def test_maps_move_a_point_as_named():
  point = np.array([(3.0, 4.0)])
  for map_, moved in (
    (affine.translate([10, 20]), (13, 24)),
    (affine.scale(2), (6, 8)),
    # Counter-clockwise with y down: what points right turns up.
    (affine.rotate(90), (4, -3)),
    (affine.mirror(True), (-3, 4)),
  ):
    np.testing.assert_allclose(affine.apply(point, map_), [moved], atol=1e-12)


def test_product_applies_factors_in_reading_order(rng):
  a, b = some_map(rng), some_map(rng)
  points = rng.uniform(0, 400, (7, 2))
  np.testing.assert_allclose(
    affine.apply(points, a @ b), affine.apply(affine.apply(points, a), b)
  )


def test_batched_maps_equal_single_maps(rng):
  maps, points = some_map(rng, (5,)), rng.uniform(0, 400, (5, 7, 2))
  each = [affine.apply(*pair) for pair in zip(points, maps, strict=True)]
  np.testing.assert_allclose(affine.apply(points, maps), each)


def test_image_to_crop_fills_the_crop_about_the_center(rng):
  center, side = np.array([100.0, 50.0]), 80.0
  corners = np.array([(60, 10), (140, 10), (140, 90), (60, 90)])
  upright = affine.image_to_crop(center, side, 64)
  np.testing.assert_allclose(
    affine.apply(corners, upright), [(0, 0), (64, 0), (64, 64), (0, 64)]
  )
  mirrored = affine.image_to_crop(center, side, 64, flip=True)
  np.testing.assert_allclose(
    affine.apply(corners, mirrored), [(64, 0), (0, 0), (0, 64), (64, 64)]
  )
  for rotation, flip in ((30, False), (-140, True)):
    map_ = affine.image_to_crop(center, side, 64, rotation=rotation, flip=flip)
    np.testing.assert_allclose(affine.apply(center[None], map_), [(32, 32)])


def test_image_to_crop_equals_get_transform():
  """SPEC 8: pytorch_stacked_hourglass's `get_transform`."""
  center = np.array([128.0, 128.0])
  map_ = affine.image_to_crop(center, 256 * 1.1, 64, rotation=20)
  np.testing.assert_allclose(
    map_.T[:2],
    [[0.2135665, 0.0777319, -5.2861895], [-0.0777319, 0.2135665, 14.6131643]],
    atol=1e-6,
  )
  np.testing.assert_allclose(
    affine.apply(np.array([(100, 50)]), map_), [(19.95705, 17.51830)], atol=1e-5
  )
  turned = affine.image_to_crop(center, 256, 256, rotation=30)
  np.testing.assert_allclose(
    affine.apply(np.array([(228, 128)]), turned), [(214.603, 78)], atol=5e-4
  )


def test_to_opencv_counts_from_pixel_centers():
  # Twice the size: the centers of two pixels, at 0.5 and 1.5, go to 1 and 3,
  # which OpenCV calls 0.5 and 2.5.
  matrix = affine.to_opencv(affine.scale(2))
  np.testing.assert_allclose(matrix @ [0, 1, 1], [0.5, 2.5])
  # A shift is the same shift in both conventions.
  np.testing.assert_allclose(
    affine.to_opencv(affine.translate([3, -5])), [[1, 0, 3], [0, 1, -5]]
  )


def test_to_opencv_agrees_with_apply():
  """A picture whose values are coordinates keeps them through OpenCV's warp."""
  height, width, size = 150, 200, 64
  map_ = affine.image_to_crop(
    np.array([110.0, 70.0]), 60.0, size, rotation=33, flip=True
  )
  x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  picture = np.stack([x, y], axis=-1).astype(np.float32)
  crop = cv2.warpAffine(
    picture, affine.to_opencv(map_), (size, size), flags=cv2.INTER_LINEAR
  )
  column, row = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
  places = np.stack([column, row], axis=-1).reshape(-1, 2)
  expected = affine.apply(places, np.linalg.inv(map_))
  # OpenCV interpolates at 1/32 px.
  np.testing.assert_allclose(crop.reshape(-1, 2), expected, atol=1 / 16)
