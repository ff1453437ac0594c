"""An image and boxes in, joints in px of the image out."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from PIL import Image

from hg_jax.annotations.mpii import SKELETON
from hg_jax.base import affine
from hg_jax.base.errors import UserError
from hg_jax.media.photos import as_rgb
from hg_jax.model import heatmaps
from hg_jax.prediction.predictor import Predictor

BOX = (31, 22, 40, 60)


@pytest.fixture(scope='module')
def photo():
  """Smooth noise, RGB."""
  noise = np.random.default_rng(0).integers(0, 255, (120, 90, 3))
  blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2)
  return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_joints_move_with_the_person(tiny_predictor, photo):
  found = tiny_predictor(photo, BOX)
  assert found.joints.shape == (1, 16, 2) and found.scores.shape == (1, 16)
  right, down = 40, 17
  moved = np.zeros((200, 150, 3), np.uint8)
  moved[down : down + 120, right : right + 90] = photo
  x, y, w, h = BOX
  again = tiny_predictor(moved, (x + right, y + down, w, h))
  np.testing.assert_allclose(
    again.joints, found.joints + [right, down], atol=1e-4
  )
  np.testing.assert_array_equal(again.scores, found.scores)


def test_joints_are_decoded_from_the_heatmaps(tiny_predictor, photo):
  inputs, input_to_image = tiny_predictor.look(photo, [BOX])
  joints, scores, maps = tiny_predictor.people(inputs)
  decoded, values = heatmaps.decode(maps)
  np.testing.assert_allclose(joints, 4 * decoded)
  np.testing.assert_allclose(scores, values)
  np.testing.assert_allclose(
    tiny_predictor(photo, BOX).joints,
    affine.apply(4 * decoded, input_to_image),
    rtol=1e-6,
  )


def test_flip_test_is_symmetric(tiny_predictor, photo):
  inputs, _ = tiny_predictor.look(photo, [BOX])
  _, _, maps = tiny_predictor.people(inputs)
  _, _, mirrored = tiny_predictor.people(inputs[:, :, ::-1])
  np.testing.assert_allclose(
    heatmaps.mirror(mirrored, SKELETON.flip), maps, atol=1e-6
  )


def test_without_a_finder_the_photo_is_one_person(tiny_predictor, photo):
  found = tiny_predictor(photo)
  np.testing.assert_array_equal(found.boxes, [(0, 0, 90, 120)])
  boxed = tiny_predictor(photo, (0, 0, 90, 120))
  np.testing.assert_array_equal(found.joints, boxed.joints)


def test_many_boxes_are_found_as_each_alone(tiny_predictor, photo):
  boxes = [BOX, (0, 0, 50, 50), (20, 30, 60, 70)]
  found = tiny_predictor(photo, boxes=boxes)
  assert list(found.ids) == [1, 2, 3]
  for person, box in enumerate(boxes):
    alone = tiny_predictor(photo, box)
    np.testing.assert_allclose(found.joints[person], alone.joints[0], atol=1e-3)
  assert tiny_predictor(photo, boxes=[]).joints.shape == (0, 16, 2)


def test_many_images_are_found_as_each_alone(tiny_predictor, photo):
  found = tiny_predictor([photo, photo[:50]], boxes=[[BOX], []])
  assert [len(each.joints) for each in found] == [1, 0]
  np.testing.assert_array_equal(
    found[0].joints, tiny_predictor(photo, BOX).joints
  )


def test_photo_size_does_not_compile_again(tiny_predictor, photo, caplog):
  tiny_predictor(photo)
  with jax.log_compiles(), caplog.at_level('WARNING'):
    caplog.clear()
    tiny_predictor(photo[:77, :31])
  assert not [r for r in caplog.records if 'Compiling' in r.getMessage()]


def test_people_are_padded_to_powers_of_two(tiny_predictor, photo, caplog):
  inputs = np.repeat(tiny_predictor.look(photo, [BOX])[0], 11, axis=0)
  one, _, _ = tiny_predictor.people(inputs[:1])
  tiny_predictor.people(inputs[:4])
  tiny_predictor.people(inputs[:8])
  with jax.log_compiles(), caplog.at_level('WARNING'):
    caplog.clear()
    for count in (3, 5, 7, 11):
      joints, scores, maps = tiny_predictor.people(inputs[:count])
      assert len(joints) == len(scores) == len(maps) == count
      np.testing.assert_allclose(joints, np.repeat(one, count, 0), atol=1e-3)
  assert not [r for r in caplog.records if 'Compiling' in r.getMessage()]


def test_every_kind_of_image_is_taken(tiny_predictor, photo, tmp_path):
  gray = np.repeat(photo[..., :1], 3, axis=-1)
  path = tmp_path / 'photo.png'
  Image.fromarray(photo).save(path)
  same = {
    'path': (path, photo),
    'text': (str(path), photo),
    'pillow': (Image.fromarray(photo), photo),
    'rgba': (np.dstack([photo, photo[..., 0]]), photo),
    'float': (np.float32(photo / 255), photo),
    '16 bits': (photo.astype(np.uint16) * 257, photo),
    'gray': (photo[..., 0], gray),
    'one channel': (photo[..., :1], gray),
    'mirrored view': (photo[:, ::-1][:, ::-1], photo),
    'jax': (jax.numpy.asarray(photo), photo),
  }
  for kind, (image, expected) in same.items():
    found = tiny_predictor(image)
    np.testing.assert_array_equal(found.image, expected, err_msg=kind)


def test_what_is_no_image_is_refused(tiny_predictor, photo):
  for image, complaint in (
    (photo[0, 0], 'must be .height, width'),
    (photo[..., :2], 'must be .height, width'),
    (photo[:0], 'must be .height, width'),
    (photo.astype(np.float32), 'from 0 to 1'),
    (photo.astype(np.int64), 'must be of uint8'),
  ):
    with pytest.raises(ValueError, match=complaint):
      tiny_predictor(image)


def test_16_bits_of_any_order_are_those_of_the_bytes():
  steps = np.linspace(0, 65535, 6 * 7).astype(np.uint16).reshape(6, 7)
  expected = np.repeat((steps >> 8).astype(np.uint8)[..., None], 3, axis=2)
  kinds = steps, steps.astype('>u2'), steps.astype(np.int32)
  for picture in (*kinds[:2], *map(Image.fromarray, (kinds[0], kinds[2]))):
    np.testing.assert_array_equal(as_rgb(picture), expected)


def test_floats_of_pillow_are_those_of_an_array():
  picture = np.linspace(0, 1, 6 * 7, dtype=np.float32).reshape(6, 7)
  found = as_rgb(Image.fromarray(picture))
  np.testing.assert_array_equal(found, as_rgb(picture))
  assert found.max() == 255
  with pytest.raises(ValueError, match='floats must be from 0 to 1'):
    as_rgb(Image.fromarray(300 * picture))


def test_image_of_pillow_that_cannot_be_read_is_refused(photo):
  file = io.BytesIO()
  Image.fromarray(photo).save(file, 'png')
  cut_short = Image.open(io.BytesIO(file.getvalue()[:2000]))
  deep = Image.fromarray(np.full((4, 4), 70_000, np.int32))
  for broken in (cut_short, deep, Image.new('La', (9, 9))):
    with pytest.raises(ValueError, match='The image of mode .* cannot be read'):
      as_rgb(broken)
  with pytest.raises(ValueError, match=r'The image is uint8\[0, 9, 3\]'):
    as_rgb(Image.new('RGB', (9, 0)))


def test_url_is_refused_as_it_was_given(photo, tmp_path, monkeypatch):
  url = 'https://example.com/photo.png'
  with pytest.raises(UserError) as error:
    as_rgb(url)
  assert str(error.value) == (
    f'{url} is not a file; download it and give the file.'
  )
  monkeypatch.chdir(tmp_path)
  Path(url).parent.mkdir(parents=True)  # where a file can be, after all
  Image.fromarray(photo).save(url)
  np.testing.assert_array_equal(as_rgb(url), photo)


def test_path_of_any_kind_may_begin_with_the_home(photo, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  Image.fromarray(photo).save(tmp_path / 'photo.png')
  entry = next(os.scandir(tmp_path))
  for path in ('~/photo.png', Path('~/photo.png'), entry):
    np.testing.assert_array_equal(as_rgb(path), photo)


@pytest.mark.parametrize(
  'boxes',
  [
    [np.ones((99, 4))],
    [(1, 2, 3)],
  ],
)
def test_what_are_no_boxes_is_refused(boxes, tiny_predictor, photo):
  with pytest.raises((UserError, ValueError), match='^box.* x, ?y') as error:
    tiny_predictor(photo, boxes=boxes)
  message = str(error.value)
  assert '\n' not in message and len(message) < 200


def test_boxes_may_come_one_by_one(tiny_predictor, photo):
  found = tiny_predictor(photo, boxes=(iter(box) for box in [BOX, BOX]))
  expected = tiny_predictor(photo, boxes=[BOX, BOX])
  np.testing.assert_array_equal(found.joints, expected.joints)
  np.testing.assert_array_equal(found.boxes, [BOX, BOX])


@pytest.mark.parametrize('boxes', [[], [[BOX]], [[BOX]] * 3])
def test_boxes_of_fewer_or_more_images_are_refused(
  boxes, tiny_predictor, photo
):
  message = f'There are 2 images, and boxes for {len(boxes)}'
  with pytest.raises(ValueError, match=message):
    tiny_predictor([photo, photo], boxes=boxes)


def test_flags_and_sizes_of_numpy_are_taken(tiny_run):
  predictor = Predictor(
    tiny_run, flip_test=np.bool_(False), batch_size=np.int64(3)
  )
  inputs = np.zeros((2, 64, 64, 3), np.uint8)
  joints, scores, _ = predictor.people(inputs, size=np.uint8(1))
  assert joints.shape == (2, 16, 2) and scores.shape == (2, 16)


@pytest.mark.parametrize(
  'inputs',
  [
    np.zeros((64, 64, 3), np.uint8),
    np.zeros((2, 32, 64, 3), np.uint8),
    np.zeros((2, 64, 64, 3), np.float32),
  ],
)
def test_inputs_that_look_does_not_return_are_refused(inputs, tiny_predictor):
  message = (
    r'^inputs are .*; they must be uint8\[people, 64, 64, 3\], as `look`'
  )
  with pytest.raises(ValueError, match=message):
    tiny_predictor.people(inputs)


def test_bad_image_of_a_list_is_named_by_its_position(
  tiny_predictor, photo, tmp_path
):
  for bad, kind, complaint in (
    (tmp_path / 'gone.jpg', UserError, '/gone.jpg cannot be read: No such'),
    (photo.astype(np.int64), ValueError, 'The image is int64'),
    (photo[0, 0], ValueError, 'The image is uint8.3.; it must be'),
    (None, ValueError, 'The image is of type NoneType; it must be a path'),
  ):
    with pytest.raises(kind, match=rf'^image\[1\]: .*{complaint}'):
      tiny_predictor([photo, bad, photo], BOX)
  with pytest.raises(UserError, match=r'^image\[2\]: box .* lies outside'):
    tiny_predictor([photo] * 3, boxes=[[BOX], [], [(500, 0, 9, 9)]])
  with pytest.raises(ValueError, match='^Give box or boxes, not both'):
    tiny_predictor([photo], BOX, boxes=[[BOX]])


def test_path_with_a_nul_character_is_refused(tiny_predictor):
  for call in (Predictor, tiny_predictor):
    with pytest.raises(UserError, match=r"^'a\\x00b' is no path"):
      call('a\0b')


@pytest.mark.parametrize('which', [20, None, 1.5])
def test_checkpoint_may_be_a_number_and_is_named(which):
  message = f"no checkpoint '{which}'; ask for none, or for 'best'"
  with pytest.raises(UserError, match=message):
    Predictor(which=which)


def test_prediction_is_json_and_a_picture(tiny_predictor, photo):
  found = tiny_predictor(photo, boxes=[BOX, BOX])
  first, second = json.loads(json.dumps(found.to_json()))
  assert (first['id'], second['id']) == (1, 2)
  assert first['color'] != second['color']
  assert first['box'] == list(BOX)
  assert list(first['joints']) == list(SKELETON.joints)
  xy = [first['joints']['neck'][axis] for axis in 'xy']
  np.testing.assert_allclose(xy, found.joints[0, 8], atol=0.006)
  before = found.image.copy()
  drawn = found.draw(threshold=-9)
  assert drawn.shape == (384, 288, 3)  # enlarged to show the lines
  assert (drawn != cv2.resize(photo, (288, 384))).any()
  np.testing.assert_array_equal(found.image, before)


def test_notebook_shows_a_prediction_as_its_picture(tiny_predictor, photo):
  found = tiny_predictor(photo, BOX)
  shown = cv2.imdecode(np.frombuffer(found._repr_png_(), np.uint8), 1)
  np.testing.assert_array_equal(shown[..., ::-1], found.draw())
  assert 'image' not in repr(found)


def test_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(UserError, match='holds no run'):
    Predictor(tmp_path)


def test_prediction_needs_no_tensorflow():
  program = (
    'import sys; sys.modules["tensorflow"] = None; '
    'from hg_jax import Predictor; import hg_jax.predict'
  )
  subprocess.run([sys.executable, '-c', program], check=True)


def test_importing_the_package_imports_no_network():
  program = (
    'import sys, hg_jax; '
    "assert not {'jax', 'flax', 'cv2', 'numpy'} & set(sys.modules); "
    "assert hg_jax.Predictor.__name__ == 'Predictor'"
  )
  subprocess.run([sys.executable, '-c', program], check=True)
