"""Photos and videos in, joints and pictures out, whatever they are."""

import contextlib
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from hg_jax import predict
from hg_jax.annotations.boxes import read_boxes
from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.errors import UserError
from hg_jax.media import images, sources, video_writer, videos
from hg_jax.prediction import tracking
from hg_jax.prediction.frames import Settings
from hg_jax.prediction.prediction_lines import PredictionLines


def smooth_noise(height, width, seed=0):
  """RGB."""
  noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3))
  blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2)
  return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


PHOTO = smooth_noise(60, 80)


def save(path, picture=PHOTO, **settings):
  Image.fromarray(picture).save(path, **settings)
  return path


def attempt(
  predictor, patterns, output, box=None, boxes=None, form='jsonl', **settings
):
  """What the command does: the lines it writes, and its complaints."""
  errors = io.StringIO()
  try:
    given = read_boxes(box and box.split(','), boxes and str(boxes))
    found = sources.find([str(p) for p in patterns], output=output)
    given.require_use(found)
    predictions = PredictionLines(output, {}, predictor.skeleton)
    with contextlib.redirect_stderr(errors):
      predict.predict(
        predictor, found, given, Settings(**settings), predictions, form=form
      )
  except UserError as error:
    return [], [str(error)]
  lines = (output / 'predictions.jsonl').read_text().splitlines()
  problems = re.findall('^error: (.*)$', errors.getvalue(), re.M)
  return [json.loads(line) for line in lines], problems


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


def renamed_video(path):
  video(path.with_name('video.avi'))
  path.with_name('video.avi').rename(path)


def folder(path):
  path.mkdir()
  text(path / 'notes.txt')


SAME = object()  # as for PHOTO itself, to the bit
HOSTILE = [
  # what it is called, what it is, its box, and the complaint or the answer
  ('empty.jpg', empty, None, 'empty.jpg is empty'),
  ('text.jpg', text, None, 'text.jpg is not an image'),
  ('video.jpg', renamed_video, None, 'video.jpg is a video, not an image'),
  ('cut.jpg', cut_short, None, 'cut.jpg is truncated'),
  ('cut.png', cut_short, None, 'cut.png is '),
  ('huge.png', huge, None, 'huge.png has more than 125 megapixels'),
  ('missing.jpg', nothing, None, 'missing.jpg cannot be read: No such file'),
  ('loop.jpg', a_loop, None, 'loop.jpg cannot be read: Too many levels'),
  ('missing*.jpg', nothing, None, 'no file matches .*missing'),
  ('folder', folder, None, 'folder has no images'),
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
  ('photo.png', save, '-1e6,-1e6,2e6,2e6', 'more than 32 times as large'),
  ('text.mp4', text, None, 'text.mp4 is not a video'),
  ('missing.mp4', nothing, None, 'missing.mp4 cannot be read'),
  ('cut.avi', video_cut_short, None, 'cut.avi is cut short: .* of 20'),
]


@pytest.fixture(scope='module')
def answer(tiny_predictor, tmp_path_factory):
  """The joints of PHOTO."""
  where = tmp_path_factory.mktemp('plain')
  lines, problems = attempt(tiny_predictor, [save(where / 'p.png')], where)
  assert not problems
  return lines[0]['people'][0]['joints']


@pytest.mark.parametrize(
  ('name', 'make', 'box', 'expected'),
  HOSTILE,
  ids=[f'{name} {box or ""}'.strip() for name, _, box, _ in HOSTILE],
)
def test_hostile_input_ends_in_a_line_or_an_answer(
  tiny_predictor, answer, tmp_path, name, make, box, expected
):
  make(tmp_path / name)
  output = tmp_path / 'output'
  lines, problems = attempt(tiny_predictor, [tmp_path / name], output, box=box)
  if isinstance(expected, str):
    (problem,) = problems
    assert re.search(expected, problem)
    return
  assert not problems
  (line,) = lines
  (person,) = line['people']
  assert list(person['joints']) == list(SKELETON.joints)
  numbers = [list(joint.values()) for joint in person['joints'].values()]
  assert np.isfinite(numbers).all()
  overlay = images.read(output / line['overlay'])
  assert 384 <= max(overlay.shape) <= 1280
  if expected is SAME:
    assert person['joints'] == answer


def test_broken_file_is_named_and_the_rest_is_done(tiny_predictor, tmp_path):
  photos = tmp_path / 'photos'
  photos.mkdir()
  for number in range(10):
    save(photos / f'{number}.png', smooth_noise(50, 60 + number, number))
  text(photos / '4.png')
  lines, problems = attempt(tiny_predictor, [photos], tmp_path / 'output')
  assert [line['image'][-5:] for line in lines] == [
    f'{number}.png' for number in range(10) if number != 4
  ]
  assert len(problems) == 1 and '4.png' in problems[0]
  # By itself, of which the batch must know nothing.
  alone, _ = attempt(tiny_predictor, [photos / '7.png'], tmp_path / 'alone')
  for name, joint in alone[0]['people'][0]['joints'].items():
    other = lines[6]['people'][0]['joints'][name]
    assert other == pytest.approx(joint, abs=1e-2)


def test_people_of_a_photo_are_numbered(tiny_predictor, tmp_path):
  photo, other = save(tmp_path / 'photo.png'), save(tmp_path / 'other.png')
  boxes = [[0, 0, 40, 60], [40, 0, 40, 60], [10, 10, 30, 30]]
  path = tmp_path / 'boxes.json'
  path.write_text(json.dumps({'photo.png': boxes, str(other): []}))
  output = tmp_path / 'output'
  lines, problems = attempt(
    tiny_predictor, [photo, other], output, boxes=path, heatmaps=True
  )
  assert not problems
  assert [person['box'] for person in lines[0]['people']] == boxes
  assert [person['id'] for person in lines[0]['people']] == [1, 2, 3]
  assert len({person['color'] for person in lines[0]['people']}) == 3
  assert lines[1]['people'] == []
  assert {path.name for path in output.iterdir()} == {
    'predictions.jsonl',
    'settings.json',
    'photo_overlay.jpg',
    'photo_heatmaps_1.png',
    'photo_heatmaps_2.png',
    'photo_heatmaps_3.png',
    'other_overlay.jpg',
  }


@pytest.mark.parametrize('category', [1, 18])
def test_detections_give_coco_results(tiny_predictor, tmp_path, category):
  photo = save(tmp_path / '000000000139.png')
  found = {'image_id': 139, 'category_id': category}
  found = [found | {'bbox': [0, 0, 40, 60], 'score': 0.5}]
  path = tmp_path / 'detections.json'
  path.write_text(json.dumps(found))
  output = tmp_path / 'output'
  lines, _ = attempt(
    tiny_predictor, [photo], output, boxes=path, form='coco', draw='none'
  )
  (result,) = json.loads((output / 'predictions_coco.json').read_text())
  assert result['image_id'] == 139 and result['category_id'] == category
  score = lines[0]['people'][0]['score']
  assert result['score'] == pytest.approx(0.5 * score, abs=1e-6)
  assert {p.name for p in output.iterdir()} == {
    'predictions.jsonl',
    'predictions_coco.json',
    'settings.json',
  }


@pytest.mark.parametrize(
  ('content', 'complaint'),
  [
    (None, 'boxes.json cannot be read: No such file'),
    ('{"photo.png": [[1, 2', 'boxes.json: it is not JSON'),
    ('[[1, 2, 3, 4]]', r'boxes.json: \[0\]: expected an object'),
    ('{"photo.png": [1, 2, 3, 4]}', 'boxes.json: .*expected a list'),
    ('{"photo.png": [[1, 2, NaN, 4]]}', 'boxes.json: box .* must be'),
    ('{"foto.png": [[1, 2, 3, 4]]}', 'boxes for foto.png, but no such file'),
  ],
)
def test_file_of_boxes_that_is_none_is_refused(
  tiny_predictor, tmp_path, content, complaint
):
  path = tmp_path / 'boxes.json'
  if content:
    path.write_text(content)
  photo = save(tmp_path / 'photo.png')
  lines, problems = attempt(
    tiny_predictor, [photo], tmp_path / 'output', boxes=path
  )
  assert not lines and len(problems) == 1
  assert re.search(complaint, problems[0])


def test_video_is_predicted_and_drawn_frame_by_frame(tiny_predictor, tmp_path):
  video(tmp_path / 'clip.avi', frames=20)
  output = tmp_path / 'output'
  lines, problems = attempt(tiny_predictor, [tmp_path / 'clip.avi'], output)
  assert not problems
  assert [line['frame'] for line in lines] == list(range(20))
  np.testing.assert_allclose(
    [line['time'] for line in lines], np.arange(20) / 10
  )
  with videos.Video(output / lines[0]['overlay']) as drawn:
    assert drawn.rate == pytest.approx(10)
    assert len(list(drawn)) == 20


def test_video_box_follows_the_joints(tiny_predictor, tmp_path):
  video(tmp_path / 'clip.avi', frames=4)
  clip = [tmp_path / 'clip.avi']
  lines, _ = attempt(tiny_predictor, clip, tmp_path / 'a', draw='none')
  fixed, _ = attempt(
    tiny_predictor,
    clip,
    tmp_path / 'b',
    draw='none',
    track=False,
  )
  assert fixed[3]['people'][0]['box'] == [0, 0, 80, 60]
  assert lines[0]['people'][0]['box'] == [0, 0, 80, 60]
  assert lines[3]['people'][0]['box'] == pytest.approx(
    followed(lines[2]) or (0, 0, 80, 60), abs=0.01
  )


def followed(line):
  """The box that the joints of a line's first person lead to."""
  joints = [list(j.values()) for j in line['people'][0]['joints'].values()]
  joints = np.array(joints)
  return tracking.box_around(joints[:, :2], joints[:, 2], 80, 60)


def test_tracks_of_a_file_keep_their_numbers(tiny_predictor, tmp_path):
  video(tmp_path / 'clip.avi', frames=3)
  path = tmp_path / 'mot.txt'
  path.write_text('1,7,0,0,40,60,1\n1,4,40,0,40,60,1\n3,4,30,0,40,60,1\n')
  lines, problems = attempt(
    tiny_predictor, [tmp_path / 'clip.avi'], tmp_path / 'output', boxes=path
  )
  assert not problems
  ids = [[person['id'] for person in line['people']] for line in lines]
  assert ids == [[7, 4], [], [4]]
  assert lines[2]['people'][0]['box'] == [30, 0, 40, 60]


def test_boxes_of_frames_that_a_video_lacks_are_named(tiny_predictor, tmp_path):
  video(tmp_path / 'clip.avi', frames=3)
  path = tmp_path / 'mot.txt'
  path.write_text('1,7,0,0,40,60,1\n4,7,0,0,40,60,1\n')
  for _ in range(2):
    lines, problems = attempt(
      tiny_predictor, [tmp_path / 'clip.avi'], tmp_path / 'output', boxes=path
    )
    assert len(lines) == 3
    (problem,) = problems
    assert re.search('clip.avi has 3 frames, but .* boxes for frame 4', problem)


@pytest.mark.parametrize('stopped_at', [2, 99])
def test_frame_without_a_line_stays_without_and_named(
  tiny_predictor, tmp_path, monkeypatch, stopped_at
):
  video(tmp_path / 'clip.avi', frames=6)
  path = tmp_path / 'mot.txt'
  path.write_text('1,7,990,0,40,60,1\n3,7,0,0,40,60,1\n5,7,9,0,40,60,1\n')
  given = [tmp_path / 'clip.avi']
  write = PredictionLines.write

  def stop(self, record):
    if record['frame'] > stopped_at:
      raise KeyboardInterrupt
    write(self, record)

  with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
    patch.setattr(PredictionLines, 'write', stop)
    attempt(tiny_predictor, given, tmp_path / 'output', boxes=path)
  lines, problems = attempt(
    tiny_predictor, given, tmp_path / 'output', boxes=path
  )
  assert [line['frame'] for line in lines] == [1, 2, 3, 4, 5]
  assert [len(line['people']) for line in lines] == [0, 1, 0, 1, 0]
  (problem,) = problems
  assert re.search('clip.avi: box .* lies outside', problem)


def test_video_cut_short_is_predicted_as_far_as_it_goes(
  tiny_predictor, tmp_path
):
  video_cut_short(tmp_path / 'cut.avi')
  clip = [tmp_path / 'cut.avi']
  lines, problems = attempt(tiny_predictor, clip, tmp_path / 'output')
  assert 5 <= len(lines) < 20 and len(problems) == 1
  # It stays so when it is asked for again.
  assert attempt(tiny_predictor, clip, tmp_path / 'output') == (lines, problems)


@pytest.mark.parametrize('step', ['add', 'close'])
def test_video_that_cannot_be_written_is_predicted_and_drawn_later(
  tiny_predictor, tmp_path, monkeypatch, step
):
  video(tmp_path / 'clip.avi', frames=3)
  given = [tmp_path / 'clip.avi', save(tmp_path / 'photo.png')]
  output = tmp_path / 'output'

  def refuse(*_):
    raise UserError('the disk is full')

  with monkeypatch.context() as patch:
    patch.setattr(video_writer.VideoWriter, step, refuse)
    lines, problems = attempt(tiny_predictor, given, output)
  assert len(lines) == 4 and problems == ['the disk is full']
  overlay = output / lines[0]['overlay']
  assert not overlay.exists()
  assert attempt(tiny_predictor, given, output) == (lines, [])
  with videos.Video(overlay) as drawn:
    assert len(list(drawn)) == 3


@pytest.mark.parametrize('stopped_at', [1, 9, 13])
def test_stopped_command_goes_on_to_the_same_lines(
  tiny_predictor, tmp_path, monkeypatch, stopped_at
):
  for folder in 'ab':
    (tmp_path / folder).mkdir()
    for number in range(4):
      picture = smooth_noise(50, 60, number)
      save(tmp_path / folder / f'{number}.png', picture)
  video(tmp_path / 'clip.avi', frames=6)
  given = tmp_path / 'a', tmp_path / 'clip.avi', tmp_path / 'b'
  expected, _ = attempt(tiny_predictor, given, tmp_path / 'whole')
  assert len(expected) == 14
  output = tmp_path / 'output'
  write = PredictionLines.write

  def stop(self, record):
    if len(self.path.read_text().splitlines()) == stopped_at:
      # As SIGKILL leaves it.
      self._file.write(b'{"image": "half')
      raise KeyboardInterrupt
    write(self, record)

  with monkeypatch.context() as patch:
    patch.setattr(PredictionLines, 'write', stop)
    with pytest.raises(KeyboardInterrupt):
      attempt(tiny_predictor, given, output)
  lines, problems = attempt(tiny_predictor, given, output)
  assert not problems
  assert lines == expected
  assert {p.name for p in output.iterdir()} == {
    p.name for p in (tmp_path / 'whole').iterdir()
  }
  for line in lines:
    assert (output / line['overlay']).stat().st_size


def test_photos_of_one_name_keep_their_pictures(tiny_predictor, tmp_path):
  for name in 'abc':
    (tmp_path / name).mkdir()
    save(tmp_path / name / 'photo.png')
  output = tmp_path / 'output'
  attempt(tiny_predictor, [tmp_path / 'a', tmp_path / 'b'], output)
  before = (output / 'photo_overlay.jpg').stat().st_mtime_ns
  # Another command in the same folder.
  lines, _ = attempt(tiny_predictor, [tmp_path / 'c'], output)
  assert [line['overlay'] for line in lines] == [
    'photo_overlay.jpg',
    'photo_2_overlay.jpg',
    'photo_3_overlay.jpg',
  ]
  assert (output / 'photo_overlay.jpg').stat().st_mtime_ns == before


def test_large_sets_are_drawn_in_part(tiny_predictor, tmp_path):
  for number in range(7):
    save(tmp_path / f'{number}.png')
  lines, _ = attempt(
    tiny_predictor, [tmp_path], tmp_path / 'output', draw_every=3
  )
  assert ['overlay' in line for line in lines] == [
    number % 3 == 0 for number in range(7)
  ]


def command(*arguments, **settings):
  return subprocess.run(
    [sys.executable, '-m', 'hg_jax.predict', *map(str, arguments)],
    capture_output=True,
    text=True,
    **settings,
  )


def test_command_ends_with_1_if_a_file_was_unreadable(tiny_run, tmp_path):
  output = tmp_path / 'output'
  save(tmp_path / 'photo.png')
  text(tmp_path / 'broken.jpg')
  result = command(
    *tmp_path.glob('*.*'), f'--workdir={tiny_run}', f'--output={output}'
  )
  assert result.returncode == 1
  assert re.search('error: .*broken.jpg is not an image', result.stderr)
  assert 'Traceback' not in result.stderr
  assert len((output / 'predictions.jsonl').read_text().splitlines()) == 1


def test_boxes_are_read_from_a_pipe(tiny_run, tmp_path):
  save(tmp_path / 'photo.png')
  pipe = tmp_path / 'boxes.json'
  os.mkfifo(pipe)
  text = json.dumps({'photo.png': [[1, 2, 30, 40]]})
  with ThreadPoolExecutor() as pool:
    pool.submit(pipe.write_text, text)
    result = command(
      tmp_path / 'photo.png',
      f'--workdir={tiny_run}',
      f'--boxes={pipe}',
      f'--output={tmp_path / "output"}',
      timeout=60,
    )
  assert result.returncode == 0
  (line,) = (tmp_path / 'output' / 'predictions.jsonl').read_text().splitlines()
  assert json.loads(line)['people'][0]['box'] == [1, 2, 30, 40]
  settings = (tmp_path / 'output' / 'settings.json').read_text()
  assert f'({zlib.crc32(text.encode()):08x})' in settings


def test_command_goes_on_after_sigterm(tiny_run, tmp_path):
  for number in range(400):
    save(tmp_path / f'{number:03}.png')
  output = tmp_path / 'output'
  given = [tmp_path, f'--workdir={tiny_run}', f'--output={output}']
  started = subprocess.Popen(
    [sys.executable, '-m', 'hg_jax.predict', *map(str, given)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )
  path = output / 'predictions.jsonl'
  while not (path.exists() and path.read_bytes().count(b'\n') > 3):
    assert started.poll() is None
  started.terminate()
  _, errors = started.communicate(timeout=60)
  assert started.returncode == 128 + signal.SIGTERM
  assert b'Traceback' not in errors
  before = path.read_text()
  assert 3 < before.count('\n') < 400 and before.endswith('\n')
  result = command(*given)
  assert result.returncode == 0
  assert path.read_text().startswith(before)
  assert path.read_text().count('\n') == 400
  had, new = before.count('\n'), 400 - before.count('\n')
  assert f'Wrote {new} people to {path}, which had {had} of' in result.stdout
