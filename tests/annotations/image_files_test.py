import unicodedata

import pytest

from hg_jax.annotations import image_files
from hg_jax.base.errors import UserError


def tree(folder, *names):
  """Makes empty files."""
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
  return folder


@pytest.mark.parametrize(
  'name',
  ['train/a.jpg', './train/a.jpg', 'train\\a.jpg', 'a.jpg', 'data/train/a.jpg',
   '/home/me/train/a.jpg', 'C:\\data\\train\\a.jpg'],
)  # fmt: skip
def test_find_takes_paths_that_begin_elsewhere(tmp_path, name):
  tree(tmp_path, 'train/a.jpg', 'valid/b.jpg')
  assert image_files.find([name], tmp_path) == {name: tmp_path / 'train/a.jpg'}


def test_find_does_not_take_an_image_of_another_folder(tmp_path):
  tree(tmp_path, 'valid/a.jpg')
  assert image_files.find(['train/a.jpg'], tmp_path) == {}


def test_find_keeps_images_of_one_name_apart(tmp_path):
  tree(tmp_path, 'train/a.jpg', 'valid/a.jpg')
  names = ['train/a.jpg', 'valid/a.jpg']
  found = image_files.find(names, tmp_path)
  assert found == {name: tmp_path / name for name in names}
  with pytest.raises(UserError, match='a.jpg can be .*train.* or .*valid'):
    image_files.find(['a.jpg'], tmp_path)


def test_find_refuses_two_names_for_one_file(tmp_path):
  tree(tmp_path, 'a.jpg')
  with pytest.raises(UserError, match='train/a.jpg and valid/a.jpg both'):
    image_files.find(['train/a.jpg', 'valid/a.jpg'], tmp_path)


@pytest.mark.parametrize('disk, name', [('NFC', 'NFD'), ('NFD', 'NFC')])
def test_find_takes_every_unicode_form(tmp_path, disk, name):
  file = unicodedata.normalize(disk, 'Zürich/é.jpg')
  name = unicodedata.normalize(name, 'Zürich/é.jpg')
  tree(tmp_path, file)
  assert image_files.find([name], tmp_path) == {name: tmp_path / file}


def test_find_ends_where_links_lead_back(tmp_path):
  for folder in ('a', 'b'):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / f'{folder}.jpg').write_text('')
  for number in range(9):
    (tmp_path / 'a' / f'up{number}').symlink_to('..')
    (tmp_path / 'b' / f'over{number}').symlink_to('../a')
  assert image_files.find(['b/over3/a.jpg', 'b/b.jpg'], tmp_path) == {
    'b/over3/a.jpg': tmp_path / 'b/over3/a.jpg',
    'b/b.jpg': tmp_path / 'b/b.jpg',
  }


def test_find_refuses_a_name_that_is_not_unicode(tmp_path):
  with pytest.raises(UserError, match=r"'a\\udcff.jpg' has a name that is not"):
    image_files.find(['a\udcff.jpg'], tmp_path)


def test_find_names_a_folder_that_cannot_be_read(tmp_path, refuse_folder):
  (tmp_path / 'locked').mkdir()
  refuse_folder('locked')
  with pytest.raises(UserError, match='locked cannot be read: Permission'):
    image_files.find(['a.jpg'], tmp_path)
