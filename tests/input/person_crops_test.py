import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hg_jax.base.errors import UserError
from hg_jax.input import person_crops, records


@pytest.fixture
def damaged(prepared, tmp_path):
  """Records in whose training file one byte of crop 4 is another."""
  folder = tmp_path / 'damaged'
  shutil.copytree(prepared, folder)
  with np.load(folder / records.FOLDER / records.INDEX) as index:
    (row,) = np.flatnonzero((index['split'] == 'train') & (index['row'] == 4))
    shard, (start, stop) = index['shard'][row], index['span'][row]
  with open(folder / records.FOLDER / shard, 'r+b') as file:
    file.seek((start + stop) // 2)
    byte = file.read(1)[0]
    file.seek((start + stop) // 2)
    file.write(bytes([byte ^ 1]))
  return folder


def test_corrupt_crop_is_refused_by_name(prepared, damaged):
  people = records.read(prepared, 'train').people
  with pytest.raises(UserError) as stopped:
    records.read(damaged, 'train')
  message = str(stopped.value)
  assert people.image[4] in message
  assert f'person {people.person_index[4]}' in message
  assert 'skip_corrupt' in message
  assert len(records.read(damaged, 'valid')) > 0


def test_corrupt_crop_can_be_skipped(prepared, damaged):
  whole = records.read(prepared, 'train')
  rest = records.read(damaged, 'train', skip_corrupt=True)
  assert whole.skipped == ()
  assert len(rest.skipped) == 1 and whole.people.image[4] in rest.skipped[0]
  kept = np.delete(np.arange(len(whole)), 4)
  np.testing.assert_array_equal(rest.people.joints, whole.people.joints[kept])
  for row, other in enumerate(kept):
    np.testing.assert_array_equal(rest.decode(row), whole.decode(other))


def test_missing_shard_is_named(prepared, tmp_path):
  shutil.copytree(prepared, tmp_path / 'part')
  (shard,) = (tmp_path / 'part').rglob('*train.tfrecord*')
  shard.unlink()
  with pytest.raises(UserError, match=shard.name):
    records.read(tmp_path / 'part', 'train')


def test_records_from_before_other_metrics_are_read(prepared, tmp_path):
  shutil.copytree(prepared, tmp_path / 'old')
  path = tmp_path / 'old' / records.FOLDER / records.INDEX
  with np.load(path) as index:
    columns = dict(index)
  columns['head_size'] = columns.pop('reference')
  del columns['known']
  np.savez(path, **columns)
  old, new = (records.read(d, 'train') for d in (tmp_path / 'old', prepared))
  np.testing.assert_array_equal(old.people.reference, new.people.reference)
  assert old.people.known.all() and new.people.known.all()


def test_missing_index_is_written_by_another_prepare(prepared, tmp_path):
  folder = tmp_path / 'unfinished'
  shutil.copytree(prepared, folder)
  (folder / records.FOLDER / records.INDEX).unlink()
  assert not records.prepared(folder)
  crops = records.read(prepared, 'train')
  source = records.source(prepared)
  person_crops.write(
    {'train': crops.people},
    crops.skeleton,
    source,
    folder,
    files={n: Path(source['images'], n) for n in crops.people.image},
    sizes={},
    skip_unreadable=False,
  )
  again = records.read(folder, 'train')
  np.testing.assert_array_equal(again.people.image, crops.people.image)
  with pytest.raises(UserError, match='--size=448, not 64'):
    person_crops.require_source(folder, source | {'size': 64})


def test_records_are_read_without_tensorflow(prepared):
  program = f"""
import sys
from pathlib import Path
sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None
from pathlib import Path
from hg_jax.input import records
print(records.read(Path({str(prepared)!r}), 'train').decode(0).shape)
"""
  printed = subprocess.run(
    [sys.executable, '-c', program], check=True, capture_output=True, text=True
  ).stdout
  assert printed.strip() == '(448, 448, 3)'


@pytest.mark.parametrize('name', ['index.npz', 'metadata.json'])
@pytest.mark.parametrize('keep', [0, 0.5])
def test_truncated_records_are_named(prepared, tmp_path, name, keep):
  shutil.copytree(prepared, tmp_path / 'data')
  path = tmp_path / 'data' / records.FOLDER / name
  content = path.read_bytes()
  path.write_bytes(content[: int(keep * len(content))])
  with pytest.raises(UserError, match=f'{name} is damaged .*; delete'):
    records.read(tmp_path / 'data', 'train')


@pytest.mark.parametrize('text', ['[]', '{}', '{"skeleton": 5}'])
def test_edited_metadata_are_named(prepared, tmp_path, text):
  shutil.copytree(prepared, tmp_path / 'data')
  (tmp_path / 'data' / records.FOLDER / 'metadata.json').write_text(text)
  match = r'metadata.json is damaged \(.*\); delete'
  with pytest.raises(UserError, match=match):
    records.read_skeleton(tmp_path / 'data')


@pytest.mark.parametrize('name', ['index.npz', 'metadata.json', '*-train.*'])
def test_records_that_the_system_refuses_are_not_to_be_deleted(
  prepared, tmp_path, name
):
  shutil.copytree(prepared, tmp_path / 'data')
  (path,) = (tmp_path / 'data' / records.FOLDER).glob(name)
  path.unlink()
  path.mkdir()
  with pytest.raises(UserError, match=f'{path} cannot be read: Is a') as error:
    records.read(tmp_path / 'data', 'train')
  assert 'delete' not in str(error.value)


@pytest.mark.parametrize('change', ['a column less', 'a joint less'])
def test_index_of_other_records_is_named(prepared, tmp_path, change):
  shutil.copytree(prepared, tmp_path / 'data')
  path = tmp_path / 'data' / records.FOLDER / 'index.npz'
  with np.load(path) as arrays:
    columns = dict(arrays)
  if change == 'a column less':
    del columns['span']
  else:
    columns |= {n: columns[n][:, :-1] for n in ('joints', 'labeled', 'known')}
  np.savez(path, **columns)
  with pytest.raises(UserError, match=r'index.npz is damaged .*(span|joints)'):
    records.read(tmp_path / 'data', 'train')
