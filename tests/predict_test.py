"""Photos and videos in, joints and pictures out, whatever they are."""

import json
import re
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from hg_jax import predict
from hg_jax.base.errors import UserError
from hg_jax.data import images
from hg_jax.data.mpii import SKELETON


def smooth_noise(height, width, seed=0):
  """RGB."""
  noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3))
  blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2)
  return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


PHOTO = smooth_noise(60, 80)


def save(path, picture=PHOTO, **settings):
  Image.fromarray(picture).save(path, **settings)
  return path


def attempt(predictor, patterns, output, box=None, boxes=None, sheets=False):
  """What the command does: the people it writes, and its complaints."""
  try:
    given = predict.read_boxes(box and box.split(','), boxes)
    paths = predict.find([str(pattern) for pattern in patterns])
    problems = predict.predict(predictor, paths, given, output, sheets=sheets)
  except UserError as error:
    return [], [str(error)]
  return json.loads((output / 'predictions.json').read_text()), problems


def empty(path):
  path.write_bytes(b'')


def text(path):
  path.write_text('this is not a photo')


def cut_short(path):
  save(path)
  path.write_bytes(path.read_bytes()[:-40])


def a_loop(path):
  path.symlink_to(path)


def nothing(path):
  del path


def huge(path):
  """Says that it is 100,000 px wide and high."""

  def chunk(kind, data):
    check = struct.pack('>I', zlib.crc32(kind + data))
    return struct.pack('>I', len(data)) + kind + data + check

  header = struct.pack('>IIBBBBB', 100_000, 100_000, 8, 2, 0, 0, 0)
  path.write_bytes(
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', zlib.compress(bytes(1000)))
    + chunk(b'IEND', b'')
  )


def one_pixel(path):
  save(path, PHOTO[:1, :1])


def panorama(path):
  save(path, np.tile(PHOTO[:10], (1, 250, 1)))


def gray(path):
  save(path, PHOTO[..., 0])


def two_colors(path):
  Image.fromarray(PHOTO).convert('1').save(path)


def see_through(path):
  save(path, np.dstack([PHOTO, np.zeros((60, 80), np.uint8)]))


def sixteen_bits(path):
  cv2.imwrite(str(path), PHOTO[..., ::-1].astype(np.uint16) * 257)


def cmyk(path):
  Image.fromarray(PHOTO).convert('CMYK').save(path)


def animated(path):
  others = [Image.fromarray(smooth_noise(60, 80, seed)) for seed in (1, 2)]
  save(path, save_all=True, append_images=others)


def turned(path):
  exif = Image.new('RGB', (1, 1)).getexif()
  exif[0x0112] = 6  # is shown turned by 90 degrees, clockwise
  save(path, np.ascontiguousarray(PHOTO.transpose(1, 0, 2)[::-1]), exif=exif)


def video(path, frames=20, keep=1.0):
  writer = cv2.VideoWriter(
    str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (80, 60)
  )
  for _ in range(frames):
    writer.write(PHOTO[..., ::-1])
  writer.release()
  data = path.read_bytes()
  path.write_bytes(data[: round(keep * len(data))])


def video_cut_short(path):
  video(path, keep=0.5)


def folder(path):
  path.mkdir()
  text(path / 'notes.txt')


SAME = object()  # as for PHOTO itself, to the bit
HOSTILE = [
  # what it is called, what it is, its box, and the complaint or the answer
  ('empty.jpg', empty, None, 'empty.jpg is not an image'),
  ('text.jpg', text, None, 'text.jpg is not an image'),
  ('cut.jpg', cut_short, None, 'cut.jpg is truncated'),
  ('cut.png', cut_short, None, 'cut.png is '),
  ('huge.png', huge, None, 'huge.png has more than 125 megapixels'),
  ('missing.jpg', nothing, None, 'missing.jpg cannot be read: No such file'),
  ('loop.jpg', a_loop, None, 'loop.jpg cannot be read: Too many levels'),
  ('missing*.jpg', nothing, None, 'nothing is called .*missing'),
  ('folder', folder, None, 'folder holds no images'),
  ('one.png', one_pixel, None, None),
  ('panorama.png', panorama, None, None),
  ('gray.png', gray, None, None),
  ('two_colors.png', two_colors, None, None),
  ('a name, spaces [1] ü.png', save, None, SAME),
  ('wrong_suffix.jpg', lambda p: save(p, format='PNG'), None, SAME),
  ('see_through.png', see_through, None, SAME),
  ('sixteen_bits.png', sixteen_bits, None, SAME),
  ('cmyk.tif', cmyk, None, SAME),
  ('animated.png', animated, None, SAME),
  ('turned.png', turned, None, SAME),
  ('photo.png', save, '90,0,5,5', r'photo.png: box .* outside the image'),
  ('photo.png', save, '0,0,0,9', 'must be x,y,width,height'),
  ('photo.png', save, 'nan,0,9,9', 'must be x,y,width,height'),
  ('photo.png', save, '1,2,3', 'must be x,y,width,height'),
  ('photo.png', save, '-1e6,-1e6,2e6,2e6', None),
  ('text.mp4', text, None, 'text.mp4 is not a video'),
  ('missing.mp4', nothing, None, 'missing.mp4 cannot be read'),
  ('cut.avi', video_cut_short, None, 'cut.avi is cut short: .* of 20'),
]


@pytest.fixture(scope='module')
def answer(tiny_predictor, tmp_path_factory):
  """The joints of PHOTO."""
  where = tmp_path_factory.mktemp('plain')
  people, problems = attempt(tiny_predictor, [save(where / 'p.png')], where)
  assert not problems
  return people[0]['joints']


@pytest.mark.parametrize(
  ('name', 'make', 'box', 'expected'),
  HOSTILE,
  ids=[f'{name} {box or ""}'.strip() for name, _, box, _ in HOSTILE],
)
def test_a_hostile_input_ends_in_a_clear_line_or_a_right_answer(
  tiny_predictor, answer, tmp_path, name, make, box, expected
):
  make(tmp_path / name)
  output = tmp_path / 'output'
  people, problems = attempt(tiny_predictor, [tmp_path / name], output, box=box)
  if isinstance(expected, str):
    (problem,) = problems
    assert '\n' not in problem
    assert re.search(expected, problem)
    return
  assert not problems
  (person,) = people
  assert list(person['joints']) == list(SKELETON.joints)
  numbers = [list(joint.values()) for joint in person['joints'].values()]
  assert np.isfinite(numbers).all()
  overlay = cv2.imread(str(output / f'{(tmp_path / name).stem}_overlay.png'))
  assert 384 <= max(overlay.shape) <= 1280
  if expected is SAME:
    assert person['joints'] == answer


def test_a_broken_file_is_named_and_the_rest_is_done(tiny_predictor, tmp_path):
  photos = tmp_path / 'photos'
  photos.mkdir()
  for number in range(10):
    save(photos / f'{number}.png', smooth_noise(50, 60 + number, number))
  text(photos / '4.png')
  people, problems = attempt(tiny_predictor, [photos], tmp_path / 'output')
  assert [p['image'][-5:] for p in people] == [
    f'{number}.png' for number in range(10) if number != 4
  ]
  assert len(problems) == 1 and '4.png' in problems[0]
  # By itself, of which the batch must know nothing.
  alone, _ = attempt(tiny_predictor, [photos / '7.png'], tmp_path / 'alone')
  for name, joint in alone[0]['joints'].items():
    other = people[6]['joints'][name]
    assert other == pytest.approx(joint, abs=1e-3)


def test_many_people_of_a_photo_are_told_apart(tiny_predictor, tmp_path):
  photo, other = save(tmp_path / 'photo.png'), save(tmp_path / 'other.png')
  boxes = [[0, 0, 40, 60], [40, 0, 40, 60], [10, 10, 30, 30]]
  (tmp_path / 'boxes.json').write_text(
    json.dumps({'photo.png': boxes, str(other): []})
  )
  output = tmp_path / 'output'
  people, problems = attempt(
    tiny_predictor,
    [photo, other],
    output,
    boxes=str(tmp_path / 'boxes.json'),
    sheets=True,
  )
  assert not problems
  assert [person['box'] for person in people] == boxes
  assert {path.name for path in output.iterdir()} == {
    'predictions.json',
    'photo_overlay.png',
    'photo_heatmaps_1.png',
    'photo_heatmaps_2.png',
    'photo_heatmaps_3.png',
    'other_overlay.png',
  }


@pytest.mark.parametrize(
  ('content', 'complaint'),
  [
    (None, 'boxes.json cannot be read: No such file'),
    ('{"photo.png": [[1, 2', 'boxes.json is not JSON'),
    ('[[1, 2, 3, 4]]', 'boxes.json must be'),
    ('{"photo.png": [1, 2, 3, 4]}', 'boxes.json: box 1 must be'),
    ('{"photo.png": [[1, 2, NaN, 4]]}', 'boxes.json: box .* must be'),
    ('{"foto.png": [[1, 2, 3, 4]]}', 'boxes for foto.png, but no such file'),
  ],
)
def test_a_file_of_boxes_that_is_none_is_refused(
  tiny_predictor, tmp_path, content, complaint
):
  path = tmp_path / 'boxes.json'
  if content:
    path.write_text(content)
  photo = save(tmp_path / 'photo.png')
  people, problems = attempt(
    tiny_predictor, [photo], tmp_path / 'output', boxes=str(path)
  )
  assert not people and len(problems) == 1
  assert re.search(complaint, problems[0])


def test_a_video_is_predicted_and_drawn_frame_by_frame(
  tiny_predictor, answer, tmp_path
):
  video(tmp_path / 'clip.avi', frames=20)
  output = tmp_path / 'output'
  people, problems = attempt(tiny_predictor, [tmp_path / 'clip.avi'], output)
  assert not problems
  assert [person['frame'] for person in people] == list(range(20))
  drawn = cv2.VideoCapture(str(output / 'clip_overlay.mp4'))
  assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
  assert sum(drawn.read()[0] for _ in range(30)) == 20


def test_a_video_cut_short_is_predicted_as_far_as_it_goes(
  tiny_predictor, tmp_path
):
  video_cut_short(tmp_path / 'cut.avi')
  people, problems = attempt(
    tiny_predictor, [tmp_path / 'cut.avi'], tmp_path / 'output'
  )
  assert 5 <= len(people) < 20 and len(problems) == 1


def test_an_interruption_leaves_what_was_found_before(
  tiny_predictor, tmp_path, monkeypatch
):
  photos = [save(tmp_path / f'{i:02}.png') for i in range(12)]
  read = images.read_upright

  def interrupted(path):
    if path == photos[9]:
      raise KeyboardInterrupt
    return read(path)

  monkeypatch.setattr(images, 'read_upright', interrupted)
  output = tmp_path / 'output'
  with pytest.raises(KeyboardInterrupt):
    attempt(tiny_predictor, photos, output)
  people = json.loads((output / 'predictions.json').read_text())
  assert [person['image'] for person in people] == [
    str(photo) for photo in photos[:8]
  ]


def test_files_of_one_name_get_pictures_of_their_own(tiny_predictor, tmp_path):
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
    save(tmp_path / name / 'photo.png')
  output = tmp_path / 'output'
  attempt(tiny_predictor, [tmp_path / 'a', tmp_path / 'b'], output)
  assert {path.name for path in output.glob('*.png')} == {
    'photo_overlay.png',
    'photo_2_overlay.png',
  }


def command(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'hg_jax.predict', *map(str, arguments)],
    capture_output=True,
    text=True,
  )


def test_the_command_ends_with_1_if_a_file_could_not_be_read(
  tiny_run, tmp_path
):
  output = tmp_path / 'output'
  save(tmp_path / 'photo.png')
  text(tmp_path / 'broken.jpg')
  result = command(
    *tmp_path.glob('*.*'), f'--workdir={tiny_run}', f'--output={output}'
  )
  assert result.returncode == 1
  assert re.search('error: .*broken.jpg is not an image', result.stderr)
  assert 'Traceback' not in result.stderr
  assert len(json.loads((output / 'predictions.json').read_text())) == 1


def test_without_weights_the_command_says_how_to_get_some(tmp_path):
  result = command(tmp_path, f'--output={tmp_path}')
  assert result.returncode == 1
  (line,) = result.stderr.splitlines()
  assert 'python -m hg_jax.main' in line and 'python -m hg_jax.convert' in line
