"""Sources of a command line are listed once, in order."""

import io
import os
import sys

import pytest

from hg_jax.base.errors import UserError
from hg_jax.media import sources, videos


@pytest.fixture
def photos(tmp_path):
  for (
    name
  ) in 'b.jpg a.PNG c.heic notes.txt .hidden.jpg clip.MTS d/e.jpg'.split():
    (tmp_path / 'photos' / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / 'photos' / name).touch()
  return tmp_path / 'photos'


def names(found, folder):
  return [path.relative_to(folder).as_posix() for path in found]


def test_folder_is_listed_without_other_files(photos, capsys):
  found = sources.find([str(photos)])
  assert names(found, photos) == ['a.PNG', 'b.jpg', 'c.heic', 'clip.MTS']
  assert 'passed over files that are not photos or videos (1 .txt)' in (
    capsys.readouterr().err
  )


def test_files_passed_over_are_all_counted(photos, capsys):
  for kind in 'abcdeff':
    (photos / f'{len(list(photos.iterdir()))}.{kind}').touch()
  sources.find([str(photos)])
  assert '(2 .f, ' in (said := capsys.readouterr().err)
  assert said.rstrip().endswith(', 2 others)')


def test_linked_and_unreadable_folders_are_named(
  photos, tmp_path, capsys, refuse_folder
):
  (tmp_path / 'elsewhere').mkdir()
  (photos / 'link').symlink_to(tmp_path / 'elsewhere')
  refuse_folder('d')
  sources.find([str(photos)], recursive=True)
  said = capsys.readouterr().err
  assert f'{photos / "d"} is passed over: Permission denied' in said
  assert '1 linked folder' in said


def test_folder_is_listed_with_its_folders(photos):
  for found in (
    sources.find([str(photos)], recursive=True),
    sources.find([f'{photos}/**/*.jpg']),
  ):
    assert {'b.jpg', 'd/e.jpg'} <= set(names(found, photos))


def test_list_names_sources_a_line(photos, tmp_path, monkeypatch):
  odd = os.fsencode(photos) + b'/\xff.jpg'
  lines = os.fsencode(photos) + b'/b.jpg\n\n' + odd + b'\r\n'
  (tmp_path / 'list.txt').write_bytes(lines)
  expected = [photos / 'b.jpg', photos / os.fsdecode(b'\xff.jpg')]
  assert sources.find([f'@{tmp_path}/list.txt']) == expected
  monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(lines)))
  assert sources.find(['-']) == expected
  # As `find -print0` has it.
  (tmp_path / 'list.txt').write_bytes(
    b'\0'.join([os.fsencode(path) for path in expected] + [b''])
  )
  assert sources.find([f'@{tmp_path}/list.txt']) == expected


def test_cameras_and_urls_stay_text():
  given = ['0', 'rtsp://door/stream', 'http://door/a.mp4']
  assert sources.find(given) == given


def test_overlays_in_the_output_folder_are_not_sources(photos):
  for name in 'b_overlay.jpg b_heatmaps_2.png clip_overlay.mp4'.split():
    (photos / name).touch()
  found = names(sources.find([str(photos)], output=photos), photos)
  assert found == ['a.PNG', 'b.jpg', 'c.heic', 'clip.MTS']
  found = names(
    sources.find([f'{photos}/*.jpg'], output=photos, recursive=True), photos
  )
  assert found == ['b.jpg']
  # In another folder they are anyone's.
  assert photos / 'b_overlay.jpg' in sources.find([str(photos)])


def test_sources_are_listed_once(photos):
  path = str(photos / 'b.jpg')
  assert sources.find([path, f'{photos}/b*.jpg', path]) == [photos / 'b.jpg']


@pytest.mark.parametrize(
  ('pattern', 'complaint'),
  [
    ('{}/d/*.png', 'no file matches'),
    ('@{}/list', 'list cannot be read'),
    ('@{}/notes.txt', 'lists no files'),
    ('{}/empty', 'has no images'),
    ('', 'a source is empty text'),  # of an empty variable
  ],
)
def test_find_names_what_matches_nothing(photos, pattern, complaint):
  (photos / 'empty').mkdir()
  with pytest.raises(UserError, match=complaint):
    sources.find([pattern.format(photos)])


def test_names_that_are_too_long_are_reported_later(photos):
  long = [f'{"q" * 300}.jpg', f'{"q" * 300}.mp4']
  assert [p.name for p in sources.find(long)] == long
  with pytest.raises(UserError, match='cannot be read: File name too long'):
    videos.Video(sources.find(long)[1])
