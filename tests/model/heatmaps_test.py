import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from hg_jax.annotations import mpii
from hg_jax.annotations.mpii import SKELETON
from hg_jax.base import affine
from hg_jax.metrics import pck
from hg_jax.model import heatmaps


def random_joints(shape, *, low=0.0, high=64.0):
  rng = np.random.default_rng(0)
  return rng.uniform(low, high, (*shape, 2)).astype(np.float32)


def test_a_joint_is_drawn_as_the_published_gaussian():
  # SPEC 2.6: peak 1 at the pixel, .0111 at 3 px, sum of squares 3.142 (pi).
  heatmap = heatmaps.render(
    np.array([[20.9, 10.1]], np.float32),
    np.array([True]),
    size=64,
    sigma=1.0,
  )[..., 0]
  assert heatmap.dtype == np.float32
  assert heatmap[10, 20] == 1 == heatmap.max()
  np.testing.assert_allclose(heatmap[10, [17, 23]], 0.0111, atol=5e-5)
  np.testing.assert_allclose(heatmap[[7, 13], 20], 0.0111, atol=5e-5)
  np.testing.assert_allclose(np.square(heatmap).sum(), 3.142, atol=1e-3)
  assert not heatmap[:, :16].any() and not heatmap[:, 25:].any()


@pytest.mark.parametrize(
  'joint', [(-0.1, 5.0), (64.0, 5.0), (5.0, -0.1), (5.0, 64.0)]
)
def test_a_joint_outside_leaves_its_heatmap_empty(joint):
  drawn = heatmaps.render(
    np.array([joint], np.float32), np.array([True]), size=64, sigma=1.0
  )
  assert not drawn.any()


def test_an_unlabeled_joint_leaves_its_heatmap_empty():
  joints = random_joints((16,))
  labeled = np.arange(16) % 3 > 0
  drawn = heatmaps.render(joints, labeled, size=64, sigma=1.0)
  np.testing.assert_array_equal(drawn.any(axis=(0, 1)), labeled)


def test_numpy_and_jax_draw_the_same_bits():
  joints = random_joints((3, 16), low=-4.0, high=68.0)
  labeled = np.random.default_rng(1).uniform(size=(3, 16)) < 0.8
  draw = jax.jit(lambda j, v: heatmaps.render(j, v, size=64, sigma=1.0))
  np.testing.assert_array_equal(
    heatmaps.render(joints, labeled, size=64, sigma=1.0), draw(joints, labeled)
  )


@pytest.mark.parametrize('size, sigma', [(64, 1.0), (96, 1.5)])
def test_decoding_what_was_drawn_gives_the_middle_of_its_pixel(size, sigma):
  joints = random_joints((5, 16), high=size)
  drawn = heatmaps.render(
    joints, np.full((5, 16), True), size=size, sigma=sigma
  )
  decoded, score = heatmaps.decode(drawn)
  np.testing.assert_array_equal(decoded, np.floor(joints) + 0.5)
  np.testing.assert_array_equal(score, 1)


def test_quarter_offsets_are_the_published_ones():
  # SPEC 4.1: peak at (row 10, column 20), right .5, below .4. At the border
  # and between equal neighbors pose-hg-train leaves the maximum where it is.
  heatmap = np.zeros((64, 48, 3), np.float32)
  heatmap[10, 20, 0], heatmap[10, 21, 0], heatmap[11, 20, 0] = 1, 0.5, 0.4
  heatmap[0, 0, 1], heatmap[0, 1, 1] = 0.8, 0.3
  heatmap[5, 5, 2] = heatmap[40, 40, 2] = 0.2
  joints, score = heatmaps.decode(heatmap)
  np.testing.assert_array_equal(
    joints, [[20.75, 10.75], [0.5, 0.5], [5.5, 5.5]]
  )
  np.testing.assert_allclose(score, [1, 0.8, 0.2])


def test_decoding_picks_the_flat_argmax_also_where_values_tie():
  rng = np.random.default_rng(0)
  maps = rng.integers(0, 4, (2, 3, 16, 12, 5)).astype(np.float32)
  joints, _ = jax.jit(heatmaps.decode)(jnp.asarray(maps))
  flat = np.moveaxis(maps, -1, -3).reshape(2, 3, 5, -1).argmax(-1)
  row, column = np.divmod(flat, 12)
  np.testing.assert_array_equal(np.floor(joints[..., 0]), column)
  np.testing.assert_array_equal(np.floor(joints[..., 1]), row)
  np.testing.assert_array_equal(joints, heatmaps.decode(maps)[0])


def gaussians(joints, *, size, sigma):
  """Peaks about the joints themselves, not the middles of their pixels."""
  middles = np.arange(size) + 0.5
  x, y = (
    np.exp(-np.square(middles - joints[:, axis, None]) / (2 * sigma**2))
    for axis in (0, 1)
  )
  return np.einsum('kx,ky->yxk', x, y).astype(np.float32)


@pytest.mark.parametrize('sigma', [1.0, 2.0])
def test_dark_decoding_finds_the_middle_of_a_gaussian(sigma):
  joints = random_joints((16,), high=22) + 5
  maps = gaussians(joints, size=32, sigma=sigma)
  found, score = heatmaps.decode(maps, decoding='dark')
  np.testing.assert_allclose(found, joints, atol=0.02)
  np.testing.assert_array_equal(score, maps.max(axis=(0, 1)))
  jitted = jax.jit(functools.partial(heatmaps.decode, decoding='dark'))
  np.testing.assert_allclose(jitted(jnp.asarray(maps))[0], found, atol=1e-3)
  mirrored, _ = heatmaps.decode(maps[:, ::-1], decoding='dark')
  np.testing.assert_allclose(32 - mirrored[:, 0], found[:, 0], atol=1e-3)


def decode_by_loop(maps):
  """Dark decoding of [H, W, K] with SciPy's filter and Python's floats.

  Each map is smoothed by a Gaussian of 1 px, as if it were 0 beyond the
  border. A parabola through the logarithms about the maximum has its top
  (before - after) / (2 (before - 2 middle + after)) px from it.
  """
  joints = []
  for heatmap in np.moveaxis(maps.astype(np.float64), -1, 0):
    smooth = scipy.ndimage.gaussian_filter(
      heatmap, sigma=1.0, mode='constant', cval=0.0, truncate=10.0
    )
    row, column = np.unravel_index(smooth.argmax(), smooth.shape)
    joint = []
    for line, index in ((smooth[row], column), (smooth[:, column], row)):
      move = 0.0
      if 0 < index < len(line) - 1:
        before, middle, after = map(math.log, line[index - 1 : index + 2])
        move = (before - after) / (2 * (before - 2 * middle + after))
      joint.append(index + 0.5 + move)
    joints.append(joint)
  return joints


@pytest.mark.parametrize('sigma', [0.7, 1.5])
def test_dark_decoding_equals_a_loop_with_scipys_filter(sigma):
  # Peaks on noise: there the width of the filter decides where the top lies.
  maps = gaussians(random_joints((16,), high=22) + 5, size=32, sigma=sigma)
  maps += np.random.default_rng(1).uniform(0, 0.5, maps.shape)
  maps = maps.astype(np.float32)[:, :28]  # H != W
  found, _ = heatmaps.decode(maps, decoding='dark')
  np.testing.assert_allclose(found, decode_by_loop(maps), atol=1e-4)


def test_dark_decoding_of_a_flat_heatmap_is_the_middle_of_a_pixel():
  empty, _ = heatmaps.decode(np.zeros((8, 8, 1), np.float32), decoding='dark')
  np.testing.assert_array_equal(empty, [[0.5, 0.5]])


def test_mirroring_twice_changes_nothing():
  maps = np.random.default_rng(0).normal(size=(2, 8, 8, 16))
  twice = heatmaps.mirror(heatmaps.mirror(maps, SKELETON.flip), SKELETON.flip)
  np.testing.assert_array_equal(twice, maps)


def test_the_mirrored_heatmap_is_the_heatmap_of_the_mirrored_joints():
  joints = random_joints((16,)).round() + 0.5  # pixel centers
  labeled = np.full(16, True)
  mirrored = joints.copy()
  mirrored[:, 0] = 64 - mirrored[:, 0]
  np.testing.assert_array_equal(
    heatmaps.mirror(
      heatmaps.render(joints, labeled, size=64, sigma=1.0), SKELETON.flip
    ),
    heatmaps.render(mirrored[list(SKELETON.flip)], labeled, size=64, sigma=1.0),
  )


def test_drawing_and_decoding_reach_the_published_ceilings(mpii_data):
  # SPEC 6: 100 at 0.5 and 95.8 at 0.1 with the half pixel, 26 at 0.1 without;
  # the predictions cut to whole pixels of the image, as the originals do.
  people = mpii.load(mpii_data / 'annot' / 'valid.h5')['valid']
  image_to_heatmap = affine.image_to_crop(people.center, people.side, 64)
  points = affine.apply(people.joints, image_to_heatmap).astype(np.float32)
  inside = people.labeled & ((points >= 0) & (points < 64)).all(-1)
  decoded = np.concatenate(
    [
      heatmaps.decode(
        heatmaps.render(points[rows], inside[rows], size=64, sigma=1.0)
      )[0]
      for rows in np.array_split(np.arange(len(people)), 10)
    ]
  )
  metric = pck.create_metric(mpii.SKELETON)

  def scores(offset):
    back = affine.apply(decoded + offset, np.linalg.inv(image_to_heatmap))
    counts = pck.count(
      np.trunc(back).astype(np.float32),
      people.joints,
      inside,
      inside & people.visible,
      people.reference,
      thresholds=metric.thresholds,
    )
    return [
      metric.at(metric.totals, counts, threshold)['all_joints']
      for threshold in (0.5, 0.1)
    ]

  np.testing.assert_allclose(scores(0), [100, 95.8], atol=0.1)
  np.testing.assert_allclose(scores(np.float32(-0.5))[1], 26, atol=0.1)
