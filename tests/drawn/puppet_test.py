import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.drawn import painter, puppet

WIDTH, HEIGHT, HEAD_SIZE = 200, 240, 20.0


def _create(seed: int) -> puppet.Puppet:
  rng = np.random.default_rng(seed)
  return puppet.create(rng, (WIDTH / 2, HEIGHT / 2), HEAD_SIZE)


def _paint(body: puppet.Puppet) -> painter.Canvas:
  canvas = painter.Canvas(np.full((HEIGHT, WIDTH, 3), 128, np.uint8))
  painter.paint(canvas, body, person=0)
  return canvas


def _parts(canvas: painter.Canvas) -> np.ndarray:  # of str, '' where none
  return np.array(['', *painter.PARTS])[canvas.owner]


def test_points_begin_with_the_joints_of_mpii():
  for side, points in puppet.SIDES.items():
    for name in ('ankle', 'knee', 'hip', 'wrist', 'elbow', 'shoulder'):
      assert SKELETON.joints[points[name]] == f'{side}_{name}'
  central = (puppet.PELVIS, puppet.THORAX, puppet.NECK, puppet.HEAD_TOP)
  assert [SKELETON.joints[joint] for joint in central] == [
    'pelvis',
    'thorax',
    'neck',
    'head_top',
  ]
  np.testing.assert_array_equal(puppet.FLIP[:16], SKELETON.flip)


@pytest.mark.parametrize('seed', range(8))
def test_paint_of_the_mirrored_puppet_is_mirrored(seed):
  body = _create(seed)
  canvas = _paint(body)
  mirrored = _paint(puppet.mirror(body, WIDTH))
  # OpenCV's anti-aliasing treats left and right edges a little differently.
  difference = np.abs(
    canvas.image[:, ::-1].astype(float) - mirrored.image.astype(float)
  )
  assert difference.mean() < 1
  # Parts of the right arm are now parts of the left arm.
  exchange = {'r ': 'l ', 'l ': 'r '}
  parts = np.vectorize(lambda part: exchange.get(part[:2], part[:2]) + part[2:])
  same = parts(_parts(canvas))[:, ::-1] == _parts(mirrored)
  assert same.mean() > 0.985


def test_mirror_twice_changes_nothing():
  body = _create(0)
  twice = puppet.mirror(puppet.mirror(body, WIDTH), WIDTH)
  np.testing.assert_allclose(twice.points, body.points)
  assert (twice.gaze, twice.style) == (body.gaze, body.style)


def test_mirrored_puppet_is_as_likely_as_the_puppet():
  bodies = [_create(seed) for seed in range(400)]
  points = np.stack([body.points - [WIDTH / 2, 0, 0] for body in bodies])
  mirrored = points[:, puppet.FLIP] * [-1, 1, 1]
  for moment in (np.mean, np.std):
    # Five standard errors of joints that spread by about 1.5 head sizes.
    np.testing.assert_allclose(
      moment(points, axis=0) / HEAD_SIZE,
      moment(mirrored, axis=0) / HEAD_SIZE,
      atol=5 * np.sqrt(2 * 1.5**2 / len(bodies)),
    )


def test_right_joints_are_on_the_left_of_the_picture():
  for seed in range(100):
    points = _create(seed).points
    for name in ('shoulder', 'hip'):
      right, left = points[puppet.RIGHT[name]], points[puppet.LEFT[name]]
      assert right[0] < left[0]


@pytest.mark.parametrize('seed', range(12))
def test_joints_lie_at_the_ends_of_painted_limbs(seed):
  body = _create(seed)
  canvas = _paint(body)
  labeled, visible = painter.seen(canvas, body, person=0)
  assert labeled.all()
  assert visible.sum() >= 8
  parts = _parts(canvas)
  for joint in np.flatnonzero(visible):
    column, row = np.floor(body.points[joint, :2]).astype(int)
    assert parts[row, column] in painter.SEEN_ON[joint]


def test_limb_is_painted_to_half_a_pixel():
  # A level bar from x = 20.5 to 60.5 with radius 6 covers [14.5, 66.5) in x
  # and [24, 36) about y = 30: centroid (40.5, 30), pixel centers at + 0.5.
  canvas = painter.Canvas(np.zeros((60, 80, 3), np.uint8))
  canvas.fill([(20.5, 30, 6), (60.5, 30, 6)], (255, 255, 255), owner=7)
  for covered in (canvas.owner == 7, canvas.image[..., 0] > 60):
    rows, columns = np.nonzero(covered)
    assert abs(columns.mean() + 0.5 - 40.5) <= 0.5
    assert abs(rows.mean() + 0.5 - 30) <= 0.5


def test_covered_joint_is_labeled_and_not_visible():
  body = _create(1)
  canvas = _paint(body)
  before = painter.seen(canvas, body, person=0)[1]
  knee = puppet.RIGHT['knee']
  assert before[knee]
  canvas.fill([(*body.points[knee, :2], 8)], (0, 0, 0))
  labeled, visible = painter.seen(canvas, body, person=0)
  assert labeled[knee] and not visible[knee]


def test_joint_outside_the_picture_is_not_labeled():
  body = puppet.create(np.random.default_rng(0), (0, HEIGHT / 2), HEAD_SIZE)
  labeled, visible = painter.seen(_paint(body), body, person=0)
  outside = body.points[:16, 0] < 0
  assert outside.any() and not outside.all()
  np.testing.assert_array_equal(labeled, ~outside)
  assert not visible[outside].any()


def test_head_has_the_size_of_its_head_box():
  for seed in range(20):
    points = _create(seed).points[:, :2]
    height = np.linalg.norm(points[puppet.HEAD_TOP] - points[puppet.NECK])
    # The box is 4 tall and 3 wide, so 5 diagonally; 0.6 of it: 3 for 4 tall.
    np.testing.assert_allclose(0.6 * height * 5 / 4, HEAD_SIZE)
