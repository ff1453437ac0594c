"""Lines that last, and the forms made of them."""

import csv
import json
import resource

import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.errors import UserError
from hg_jax.prediction import prediction_lines
from hg_jax.prediction.prediction_lines import PredictionLines
from hg_jax.prediction.predictor import to_json

SETTINGS = {'step': 3, 'flip_test': True}


def people(count=1, seed=0):
  random = np.random.default_rng(seed)
  return to_json(
    random.uniform(0, 99, (count, 16, 2)),
    random.uniform(0.2, 1, (count, 16)),
    random.uniform(1, 99, (count, 4)),
    range(1, count + 1),
    SKELETON,
  )


def record(image, count=1, **more):
  size = {'width': 640, 'height': 480}
  return {'image': image, **size, **more, 'people': people(count)}


def reopen(folder, settings=SETTINGS, **kwargs):
  return PredictionLines(folder, settings, SKELETON, **kwargs)


def test_lines_are_in_the_file_at_once_and_after(tmp_path):
  first = reopen(tmp_path)
  first.write(record('a.jpg', overlay='a_overlay.jpg'))
  assert json.loads(first.path.read_text())['image'] == 'a.jpg'
  # As SIGKILL leaves it, in the middle of a line.
  with first.path.open('a') as file:
    file.write('{"image": "b.jpg", "peop')
  second = reopen(tmp_path)
  assert second.done('a.jpg', video=False)
  assert not second.done('b.jpg', video=False)
  assert second.overlays == {'a_overlay.jpg'}
  second.write(record('b.jpg'))
  lines = second.path.read_text().splitlines()
  assert [json.loads(line)['image'] for line in lines] == ['a.jpg', 'b.jpg']


def test_video_goes_on_after_its_lines(tmp_path):
  first = reopen(tmp_path)
  first.write(record('a.jpg'))
  for frame in range(3):
    first.write(record('clip.mp4', frame=frame, time=frame / 10))
  second = reopen(tmp_path)
  assert not second.done('clip.mp4', video=True)
  assert second.recorded('clip.mp4', 1)['time'] == 0.1
  assert second.recorded('clip.mp4', 3) is None
  assert second.recorded('other.mp4', 0) is None
  second.drop(['clip.mp4'])
  assert second.recorded('clip.mp4', 1) is None
  second.write(record('clip.mp4', frame=0, time=0))
  second.finish_video('clip.mp4', 'clip.mp4 is cut short')
  third = reopen(tmp_path)
  assert third.done('clip.mp4', video=True)
  assert third.problem('clip.mp4') == 'clip.mp4 is cut short'
  assert len(third.path.read_text().splitlines()) == 2


def test_lines_of_stopped_videos_can_lie_among_others(tmp_path):
  clips = [f'{name}.mp4' for name in 'abcab']
  for time, name in enumerate(clips):  # As five calls, all stopped, leave them.
    lines = reopen(tmp_path)
    lines.write(record(name, frame=2 * clips[:time].count(name)))
    lines.write(record(name, frame=2 * clips[:time].count(name) + 1))
  lines = reopen(tmp_path)
  lines.finish_video('c.mp4', None)
  for name in 'ab':
    for frame in range(4):
      line = lines.recorded(f'{name}.mp4', frame)
      assert (line['image'], line['frame']) == (f'{name}.mp4', frame)
  lines.drop(['a.mp4', 'c.mp4', 'd.mp4'])
  lines.write(record('e.mp4', frame=0))
  left = [json.loads(line) for line in lines.path.read_text().splitlines()]
  assert [line['image'] for line in left] == [
    f'{name}.mp4' for name in 'bbccbbe'
  ]


def test_folder_that_could_not_be_begun_can_be_begun_again(tmp_path):
  (tmp_path / 'settings.json').mkdir()  # which no file can take the place of
  with pytest.raises(UserError, match='settings.json: Is a directory; mend'):
    reopen(tmp_path)
  (tmp_path / 'settings.json').rmdir()
  reopen(tmp_path).write(record('a.jpg'))
  assert reopen(tmp_path).done('a.jpg', video=False)


def test_full_disk_is_named_as_a_video_ends(tmp_path):
  lines = reopen(tmp_path)
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
  try:
    with pytest.raises(UserError, match=r'settings.json.*: File too large; '):
      lines.finish_video('clip.mp4', None)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_other_settings_are_refused_by_name(tmp_path):
  reopen(tmp_path).write(record('a.jpg'))
  with pytest.raises(UserError, match='with step 3, not 4; .*--overwrite'):
    reopen(tmp_path, SETTINGS | {'step': 4})
  anew = reopen(tmp_path, SETTINGS | {'step': 4}, overwrite=True)
  assert not anew.done('a.jpg', video=False)


WHOLE = json.dumps(record('a.jpg')) + '\n'


@pytest.mark.parametrize(
  'line',
  [
    '7\n',
    '\n',
    '{"image"\n',
    '{"image": "b.jpg"}\n',
    '[' * 100_000 + '\n',
    '[{"image": "b.jpg"}]',  # no half of a line of ours
    *(
      json.dumps(record('b.jpg') | changed) + '\n'
      for changed in (
        {'image': 3},
        {'overlay': None},
        {'frame': 'x'},
        {'width': None},
        {'people': None},
        {'people': [people()[0] | {'box': [1, 2, 3]}]},
        {'people': [people()[0] | {'score': float('nan')}]},
        {'people': [people()[0] | {'joints': {}}]},
      )
    ),
  ],
)
def test_damaged_lines_are_named_and_kept(line, tmp_path):
  path = reopen(tmp_path).path
  path.write_text(WHOLE + line)
  complaint = rf'damaged line at byte {len(WHOLE)} .*; remove that line'
  with pytest.raises(UserError, match=complaint):
    reopen(tmp_path)
  assert path.read_text() == WHOLE + line


def test_zeros_of_a_power_loss_are_no_line(tmp_path):
  path = reopen(tmp_path).path
  path.write_text(WHOLE + '\0' * 512)
  assert reopen(tmp_path).done('a.jpg', video=False)
  assert path.read_text() == WHOLE


@pytest.mark.parametrize(
  'text', ['', '7', '{"settings": 7}', '[' * 100_000, None]
)
def test_damaged_settings_are_named_and_kept(text, tmp_path):
  reopen(tmp_path).write(record('a.jpg'))
  path = tmp_path / 'settings.json'
  path.unlink() if text is None else path.write_text(text)
  if text is None:
    path.mkdir()  # It cannot be read, whoever asks.
  with pytest.raises(UserError, match=rf'{path} cannot be read \(.*; mend it'):
    reopen(tmp_path)
  assert text is None or path.read_text() == text


def test_lines_without_settings_are_refused(tmp_path):
  reopen(tmp_path).write(record('a.jpg'))
  (tmp_path / 'settings.json').unlink()
  with pytest.raises(UserError, match='without its settings.json'):
    reopen(tmp_path)


@pytest.fixture
def lines(tmp_path):
  written = reopen(tmp_path)
  written.write(record('photos/000000000139.jpg', count=2))
  written.write(record('photos/7.jpg', count=0))
  written.write(record('photos/8.jpg'))
  return written.path


def test_json_is_the_lines_as_a_list(lines):
  path = prediction_lines.convert(lines, 'json', SKELETON)
  expected = [json.loads(line) for line in lines.read_text().splitlines()]
  assert json.loads(path.read_text()) == expected


def test_csv_has_a_row_for_each_person(lines):
  path = prediction_lines.convert(lines, 'csv', SKELETON)
  with path.open() as file:
    rows = list(csv.DictReader(file))
  assert [row['image'] for row in rows] == [
    'photos/000000000139.jpg',
    'photos/000000000139.jpg',
    'photos/8.jpg',
  ]
  expected = people(2)[1]
  assert float(rows[1]['neck_x']) == expected['joints']['neck']['x']
  assert float(rows[1]['neck_score']) == expected['joints']['neck']['score']
  assert float(rows[1]['box_width']) == expected['box'][2]
  assert rows[1]['frame'] == ''


def test_coco_results_are_numbered_as_their_images(lines):
  path = prediction_lines.convert(lines, 'coco', SKELETON)
  results = json.loads(path.read_text())
  assert [result['image_id'] for result in results] == [139, 139, 8]
  joints = people(2)[1]['joints'].values()
  assert results[1]['keypoints'] == [
    number for joint in joints for number in joint.values()
  ]


def test_coco_results_load_in_pycocotools(lines, tmp_path):
  coco = pytest.importorskip('pycocotools.coco')
  truth = tmp_path / 'truth.json'
  truth.write_text(
    json.dumps(
      {
        'images': [{'id': 139}, {'id': 7}, {'id': 8}],
        'categories': [{'id': 1, 'name': 'person'}],
        'annotations': [],
      }
    )
  )
  path = prediction_lines.convert(lines, 'coco', SKELETON)
  loaded = coco.COCO(str(truth)).loadRes(str(path))
  assert len(loaded.getAnnIds(imgIds=[139])) == 2
  # Whether someone is medium or large is their joints' extent, as elsewhere.
  (one,) = loaded.loadAnns(loaded.getAnnIds(imgIds=[8]))
  x, y, _ = np.reshape(one['keypoints'], (-1, 3)).T
  assert one['area'] == pytest.approx(np.ptp(x) * np.ptp(y))


def test_coco_results_of_frames_are_counted(tmp_path):
  written = reopen(tmp_path)
  for frame in range(2):
    written.write(record('5.mp4', frame=frame, time=frame / 10))
  path = prediction_lines.convert(written.path, 'coco', SKELETON)
  results = json.loads(path.read_text())
  assert [result['image_id'] for result in results] == [1, 2]
