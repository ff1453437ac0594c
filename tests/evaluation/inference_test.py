"""An image and a box in, joints in px of the image out."""

import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest

from hg_jax.base import affine
from hg_jax.base.errors import UserError
from hg_jax.data.mpii import SKELETON
from hg_jax.evaluation import inference
from hg_jax.model import heatmaps

BOX = (31, 22, 40, 60)


@pytest.fixture(scope='module')
def photo():
  """Smooth noise, RGB."""
  noise = np.random.default_rng(0).integers(0, 255, (120, 90, 3))
  blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2)
  return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_joints_move_with_the_person(tiny_predictor, photo):
  joints, scores = tiny_predictor(photo, BOX)
  assert joints.shape == (16, 2) and scores.shape == (16,)
  right, down = 40, 17
  moved = np.zeros((200, 150, 3), np.uint8)
  moved[down : down + 120, right : right + 90] = photo
  x, y, w, h = BOX
  there, same = tiny_predictor(moved, (x + right, y + down, w, h))
  np.testing.assert_allclose(there, joints + [right, down], atol=1e-4)
  np.testing.assert_array_equal(same, scores)


def test_joints_are_decoded_from_the_heatmaps(tiny_predictor, photo):
  seen, input_to_image = tiny_predictor.look(photo, BOX)
  joints, scores, maps = tiny_predictor.people(seen[None])
  decoded, values = heatmaps.decode(np.asarray(maps))
  np.testing.assert_allclose(joints, 4 * decoded)
  np.testing.assert_allclose(scores, values)
  in_photo, _ = tiny_predictor(photo, BOX)
  np.testing.assert_allclose(
    in_photo, affine.apply(4 * decoded[0], input_to_image), rtol=1e-6
  )


def test_flip_test_is_symmetric(tiny_predictor, photo):
  seen, _ = tiny_predictor.look(photo, BOX)
  _, _, maps = tiny_predictor.people(seen[None])
  _, _, mirrored = tiny_predictor.people(seen[None, :, ::-1])
  np.testing.assert_allclose(
    heatmaps.mirror(np.asarray(mirrored), SKELETON.flip), maps, atol=1e-6
  )


def test_default_box_is_the_whole_photo(tiny_predictor, photo):
  for ours, theirs in zip(
    tiny_predictor(photo), tiny_predictor(photo, (0, 0, 90, 120)), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)


def test_photo_size_does_not_compile_again(tiny_predictor, photo, caplog):
  tiny_predictor(photo)
  with jax.log_compiles(), caplog.at_level('WARNING'):
    caplog.clear()
    tiny_predictor(photo[:77, :31])
  assert not [r for r in caplog.records if 'Compiling' in r.getMessage()]


def test_image_must_be_rgb_bytes(tiny_predictor, photo):
  for image in (photo[..., 0], photo / 255, np.dstack([photo, photo[..., :1]])):
    with pytest.raises(ValueError, match='must be uint8'):
      tiny_predictor(image)


def test_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(UserError, match='holds no run'):
    inference.Predictor.from_workdir(tmp_path)


def test_prediction_needs_no_tensorflow():
  program = (
    'import sys; sys.modules["tensorflow"] = None; '
    'import hg_jax.predict, hg_jax.evaluation.inference'
  )
  subprocess.run([sys.executable, '-c', program], check=True)
