import json
import resource
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from hg_jax import prepare
from hg_jax.annotations import mpii
from hg_jax.base import affine, files
from hg_jax.base.errors import UserError
from hg_jax.input import crops as cropping
from hg_jax.input import records
from hg_jax.pictures import figures


@pytest.fixture
def drawn(prepared):
  """The drawn images and annotations that `prepared` was made of."""
  return prepared / 'drawn'


def make(drawn, data_dir, **settings):
  prepare.prepare(
    images=drawn / 'images',
    annotations=drawn / 'annotations.json',
    data_dir=data_dir,
    size=128,
    **settings,
  )


def test_prepare_keeps_what_was_annotated(prepared, drawn):
  splits = mpii.load(drawn / 'annotations.json')
  for split, people in splits.items():
    crops = records.read(prepared, split)
    for name, column in vars(people).items():
      np.testing.assert_array_equal(getattr(crops.people, name), column)
  assert len(splits['train']) + len(splits['valid']) == 30


def test_crop_shows_what_the_image_shows(prepared, drawn):
  crops = records.read(prepared, 'train')
  people = crops.people
  for row in range(5):
    picture = cv2.imread(str(drawn / 'images' / people.image[row]))
    size = crops.decode(row).shape[:2][::-1]
    expected = cv2.warpAffine(
      picture, affine.to_opencv(crops.image_to_crop[row]), size
    )
    difference = np.abs(crops.decode(row).astype(float) - expected)
    assert difference.mean() < 4  # JPEG twice, and two ways to shrink grain


@pytest.mark.parametrize('center', [(50.0, 40.0), (3.2, 77.7), (-10.0, 5.0)])
def test_cut_averages_the_image_and_is_black_outside(center):
  # A picture whose levels grow along x and y by 1 a pixel: the average over
  # any square is the level in its middle, which the map back must say.
  y, x = np.mgrid[:80, :100]
  picture = np.stack([x, y, np.full_like(x, 255)], -1).astype(np.uint8)
  crop, image_to_crop = cropping.cut(picture, np.array(center), 60.0, 31)
  assert crop.shape == (31, 31, 3)
  rows, columns = np.mgrid[:31, :31]
  middles = np.stack([columns, rows], -1).reshape(-1, 2) + 0.5
  at = affine.apply(middles, np.linalg.inv(image_to_crop)).reshape(31, 31, 2)
  inside = ((at > 1.5) & (at < [98.5, 78.5])).all(-1)
  outside = ((at < -1.5) | (at > [101.5, 81.5])).any(-1)
  assert inside.any() and outside.any() == (center != (50.0, 40.0))
  np.testing.assert_allclose(crop[inside][:, :2], at[inside] - 0.5, atol=0.51)
  assert (crop[inside][:, 2] == 255).all() and not crop[outside].any()


def test_cut_does_not_enlarge_a_small_person():
  crop, image_to_crop = cropping.cut(
    np.zeros((90, 90, 3), np.uint8), np.array([40.0, 40.0]), 50.0, 448
  )
  assert crop.shape == (50, 50, 3)
  np.testing.assert_array_equal(image_to_crop[:2, :2], np.eye(2))


def test_report_counts_people_images_and_joints(prepared):
  report = (prepared / 'report.txt').read_text()
  train, valid = (records.read(prepared, s).people for s in ('train', 'valid'))
  for people in (train, valid):
    assert str(people.labeled.sum()) in report
  assert f'Crop side = 10 head sizes: holds for {len(train) + len(valid)}.' in (
    report
  )
  assert all(joint in report for joint in mpii.SKELETON.joints)
  assert cv2.imread(str(prepared / 'contact_sheet.png')) is not None


def test_missing_images_are_refused_or_counted(drawn, tmp_path):
  images = tmp_path / 'images'
  shutil.copytree(drawn / 'images', images)
  people = mpii.load(drawn / 'annotations.json')['train']
  (images / people.image[0]).unlink()
  gone = int((people.image == people.image[0]).sum())
  moved = {
    'images': images,
    'annotations': drawn / 'annotations.json',
    'data_dir': tmp_path / 'out',
  }
  with pytest.raises(
    UserError, match=f'1 annotated images .*{people.image[0]}'
  ):
    prepare.prepare(**moved)
  prepare.prepare(**moved, allow_missing=True)
  assert len(records.read(tmp_path / 'out', 'train')) == len(people) - gone
  assert (
    f'{gone} people of 1 missing'
    in (tmp_path / 'out' / 'report.txt').read_text()
  )


def test_truncated_jpeg_is_refused_or_named(drawn, tmp_path):
  images = tmp_path / 'images'
  shutil.copytree(drawn / 'images', images)
  people = mpii.load(drawn / 'annotations.json')['train']
  broken = images / people.image[0]
  broken.write_bytes(broken.read_bytes()[:3000])
  gone = int((people.image == people.image[0]).sum())
  settings = {
    'images': images,
    'annotations': drawn / 'annotations.json',
    'data_dir': tmp_path / 'out',
  }
  with pytest.raises(UserError, match=f'{people.image[0]} is truncated'):
    prepare.prepare(**settings)
  prepare.prepare(**settings, skip_unreadable=True)
  assert len(records.read(tmp_path / 'out', 'train')) == len(people) - gone
  report = (tmp_path / 'out' / 'report.txt').read_text()
  assert f'{people.image[0]} is truncated' in report
  # As if a full disk had ended the first call before its last file.
  (tmp_path / 'out' / 'contact_sheet.png').unlink()
  prepare.prepare(**settings, skip_unreadable=True)
  assert (tmp_path / 'out' / 'report.txt').read_text() == report


def test_prepare_can_be_repeated_after_interruption(
  drawn, tmp_path, monkeypatch
):
  out = tmp_path / 'out'
  cut, calls = cropping.cut, []

  def interrupted(*arguments):
    calls.append(arguments)
    if len(calls) == 9:
      raise RuntimeError('the plug is pulled')
    return cut(*arguments)

  monkeypatch.setattr(cropping, 'cut', interrupted)
  with pytest.raises(RuntimeError, match='plug'):
    make(drawn, out)
  monkeypatch.undo()
  with pytest.raises(UserError, match='no prepared people'):
    records.read(out, 'train')
  make(drawn, out)
  assert len(records.read(out, 'valid')) == len(
    mpii.load(drawn / 'annotations.json')['valid']
  )
  assert not list(out.glob('**/*incomplete*'))


def test_prepare_stopped_before_its_report_writes_it_when_repeated(
  drawn, tmp_path, monkeypatch
):
  out = tmp_path / 'out'

  def interrupted(*arguments):
    raise KeyboardInterrupt

  monkeypatch.setattr(figures, 'write', interrupted)
  with pytest.raises(KeyboardInterrupt):
    make(drawn, out)
  (out / 'report.txt').unlink()
  monkeypatch.undo()
  make(drawn, out)
  assert (out / 'report.txt').exists()
  assert (out / 'contact_sheet.png').exists()


def test_prepare_on_a_full_disk_is_one_line(drawn, tmp_path):
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
  try:
    with pytest.raises(UserError, match='out cannot be written: .* too large'):
      make(drawn, tmp_path / 'out')
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, ignored)


def test_prepare_does_not_overwrite_other_records(prepared, drawn, capsys):
  with pytest.raises(UserError, match='--size=448, not 128'):
    make(drawn, prepared)
  prepare.prepare_synthetic(prepared, 30)  # the same again: nothing to do
  assert capsys.readouterr().err == ''


def test_prepare_again_notices_that_annotations_changed(
  drawn, tmp_path, capsys
):
  copy = tmp_path / 'drawn'
  shutil.copytree(drawn, copy)
  make(copy, tmp_path / 'out')
  make(copy, tmp_path / 'out')
  assert 'is prepared already' in capsys.readouterr().out
  people = json.loads((copy / 'annotations.json').read_text())
  people.pop()
  (copy / 'annotations.json').write_text(json.dumps(people))
  with pytest.raises(UserError, match='annotations.json had other contents'):
    make(copy, tmp_path / 'out')
  # Not needed any more, as when it has moved.
  (copy / 'annotations.json').unlink()
  make(copy, tmp_path / 'out')


def test_prepare_refuses_a_folder_in_which_another_prepares(drawn, tmp_path):
  out = tmp_path / 'out'
  out.mkdir()
  with (
    files.locked(out, flag='--data_dir'),
    pytest.raises(UserError, match='in use by .*; .* another --data_dir'),
  ):
    make(drawn, out)
  make(drawn, out)
  people = tmp_path / 'drawn'
  people.mkdir()
  with (
    files.locked(people, flag='--config.data.dir'),
    pytest.raises(UserError, match='in use by .*another --config.data.dir'),
  ):
    prepare.prepare_synthetic(tmp_path, 10)
  assert [file.name for file in people.iterdir()] == ['lock', 'lock.holder']


def test_people_who_are_there_in_place_of_those_to_be_drawn_are_named(
  prepared, capsys
):
  prepare.prepare_synthetic(prepared, 1000)
  (line,) = capsys.readouterr().err.splitlines()
  assert line == (
    f'warning: {prepared} holds 30 people, who are used; to draw the 1,000 of '
    'config.data.synthetic_people, give another --config.data.dir.'
  )
  assert len(records.read(prepared, 'train')) == 24


@pytest.mark.parametrize(
  'change, words',
  [
    ({'images': 'nowhere'}, 'nowhere is not a folder'),
    ({'annotations': 'nowhere.json'}, 'nowhere.json does not exist'),
    ({'size': 10}, '--size=10'),
    ({'margin': 0.5}, '--margin=0.5'),
    ({'margin': 1e9}, r'--margin=1000000000.0: they must be .* to 32'),
    ({'size': 10**9}, '--size=1000000000'),
  ],
)
def test_prepare_names_bad_settings(drawn, tmp_path, change, words):
  settings = {
    'images': drawn / 'images',
    'annotations': drawn / 'annotations.json',
    'data_dir': tmp_path,
  } | {k: Path(v) if isinstance(v, str) else v for k, v in change.items()}
  with pytest.raises(UserError, match=words):
    prepare.prepare(**settings)


def test_prepare_names_damaged_annotations(drawn, tmp_path):
  damaged = tmp_path / 'annotations.json'
  damaged.write_text(json.dumps([{'img_paths': 'x.jpg'}]))
  with pytest.raises(UserError, match='annotations.json'):
    prepare.prepare(
      images=drawn / 'images', annotations=damaged, data_dir=tmp_path / 'out'
    )
