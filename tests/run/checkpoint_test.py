import dataclasses
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc  # noqa: F401  pytest imports it when no file opens

import jax
import numpy as np
import pytest

from hg_jax.annotations import mpii
from hg_jax.base import config
from hg_jax.base.config import Config, Data
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.model import hourglass
from hg_jax.run import checkpoint, integrity, run_config
from hg_jax.run.train_state import TrainState


def state(step: int) -> TrainState:
  values = np.random.default_rng(step).normal(size=(64, 33)).astype(np.float32)
  return TrainState(
    step=np.int32(step),
    variables={'params': {'kernel': values}},
    opt_state=({'moment': values / 2},),
    ema={'params': {'kernel': values * 2}},
  )


@pytest.fixture
def workdir(tmp_path):
  checkpoints = checkpoint.Checkpoints(tmp_path, writable=True)
  for step in (10, 20):
    checkpoints.save(state(step))
  checkpoints.close()
  return tmp_path


def damage(folder, how: str) -> None:
  """Spoils the largest file of a checkpoint."""
  data = max(
    (f for f in folder.rglob('*') if f.is_file()),
    key=lambda f: f.stat().st_size,
  )
  content = bytearray(data.read_bytes())
  if how == 'cut short':
    data.write_bytes(content[: len(content) // 2])
  elif how == 'gone':
    data.unlink()
  elif how == 'changed':
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
  else:
    shutil.rmtree(folder / 'state')


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_restore_last_inverts_save(workdir):
  said = []
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  assert_same(checkpoints.restore_last(state(0), said.append), state(20))
  like = state(0).variables
  for ema, expected in ((False, state(20).variables), (True, state(20).ema)):
    assert_same(checkpoints.restore_weights(20, like, ema=ema), expected)
  checkpoints.close()
  assert not said


@pytest.mark.parametrize('how', ['cut short', 'gone', 'changed', 'no state'])
def test_restore_last_moves_damage_aside(workdir, how):
  damage(workdir / 'checkpoints' / '20', how)
  said = []
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  assert_same(checkpoints.restore_last(state(0), said.append), state(10))
  (line,) = said
  assert str(workdir / 'checkpoints' / '20') in line and '\n' not in line
  assert [f.name[:3] for f in (workdir / 'corrupt').iterdir()] == ['20-']
  # The run comes by that step again.
  checkpoints.save(state(20))
  checkpoints.close()
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  assert_same(checkpoints.restore_last(state(0), said.append), state(20))
  checkpoints.close()


@pytest.mark.parametrize('text', ['', '[]', '7', 'null', '{}'])
@pytest.mark.parametrize('name', ['checksums/metadata', 'state/_METADATA'])
def test_metadata_of_another_form_are_damage(workdir, name, text):
  (workdir / 'checkpoints' / '20' / name).write_text(text)
  said = []
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  assert_same(checkpoints.restore_last(state(0), said.append), state(10))
  checkpoints.close()
  assert len(said) == 1


@pytest.mark.parametrize('writable', [False, True])
@pytest.mark.parametrize(
  'text',
  ['', '[]', '7', '{}', '{"all_joints": "x"}', '{"all_joints": NaN}', '\xff'],
)
def test_damaged_scores_are_named_and_kept(workdir, text, writable):
  path = workdir / 'checkpoints' / '20' / 'metrics' / 'metrics'
  path.parent.mkdir()
  path.write_bytes(text.encode('latin-1'))
  with pytest.raises(UserError, match=rf'^{path} is damaged') as error:
    checkpoint.Checkpoints(workdir, writable=writable)
  assert '\n' not in str(error.value)
  path.unlink()  # As the line says.
  checkpoints = checkpoint.Checkpoints(workdir, writable=writable)
  assert checkpoints.steps() == [10, 20]
  checkpoints.close()


@pytest.mark.parametrize('writable', [False, True])
@pytest.mark.parametrize(
  'text',
  ['[]', '7', '"x"', '[' * 100_000, f'{{"commit_timestamp_nsecs": {10**30}}}'],
)
def test_damaged_times_are_named_and_kept(workdir, text, writable):
  path = workdir / 'checkpoints' / '20' / '_CHECKPOINT_METADATA'
  path.write_text(text)
  with pytest.raises(UserError, match=rf'^{path} is damaged') as error:
    checkpoint.Checkpoints(workdir, writable=writable)
  assert '\n' not in str(error.value)
  path.unlink()  # As the line says.
  checkpoints = checkpoint.Checkpoints(workdir, writable=writable)
  assert_same(checkpoints.restore(20, state(0)), state(20))
  checkpoints.close()


def refuse(monkeypatch, name):
  """Lets nobody list folders of this name, not the superuser either."""
  scandir = os.scandir

  def refused(path):
    if os.path.basename(path) == name:
      raise PermissionError(errno.EACCES, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refused)


def test_folder_that_the_system_refuses_is_no_damage(workdir, monkeypatch):
  folder = workdir / 'checkpoints' / '20'
  refuse(monkeypatch, 'state')
  with (
    pytest.raises(UserError, match='20 cannot be read now: .*Permission den'),
    integrity.reading(folder),
  ):
    raise ValueError('Individual parameter subdirectory not found')


def test_scores_that_are_no_file_are_refused(workdir):
  (workdir / 'checkpoints' / '20' / 'metrics' / 'metrics').mkdir(parents=True)
  for writable in (False, True):
    with pytest.raises(IsADirectoryError):
      checkpoint.Checkpoints(workdir, writable=writable)


def test_restore_last_never_begins_anew_beside_damage(workdir):
  for step in (10, 20):
    damage(workdir / 'checkpoints' / str(step), 'cut short')
  for _ in range(2):
    checkpoints = checkpoint.Checkpoints(workdir, writable=True)
    with pytest.raises(UserError, match='no checkpoint that is whole'):
      checkpoints.restore_last(state(0), print)
    checkpoints.close()
  shutil.rmtree(workdir / 'corrupt')
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  assert checkpoints.restore_last(state(0), print) is None
  checkpoints.close()


def too_many_open_files(folder):
  files = len(os.listdir('/proc/self/fd'))
  resource.setrlimit(resource.RLIMIT_NOFILE, (files, LIMITS[1]))


def unreadable(folder):
  # At offset 0 it answers EIO.
  path = folder / 'state' / '_METADATA'
  path.unlink()
  path.symlink_to('/proc/self/mem')


def endless_link(folder):
  # tensorstore's own words for an error of the system.
  path = folder / 'state' / 'manifest.ocdbt'
  path.unlink()
  path.symlink_to(path)


LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.mark.parametrize(
  ('fail', 'reason'),
  [
    (too_many_open_files, 'Too many open files'),
    (unreadable, 'Input/output error'),
    (endless_link, 'symbolic links|UNKNOWN'),
  ],
)
def test_restore_last_moves_nothing_at_a_passing_error(workdir, fail, reason):
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  fail(workdir / 'checkpoints' / '20')
  try:
    with pytest.raises(UserError, match=f'20 cannot be read now: .*({reason})'):
      checkpoints.restore_last(state(0), print)
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)
  checkpoints.close()
  assert not (workdir / 'corrupt').exists()
  assert (workdir / 'checkpoints' / '20').exists()


def test_restore_last_moves_nothing_without_memory(workdir, monkeypatch):
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)

  def exhausted(*_, **__):
    raise MemoryError

  monkeypatch.setattr(checkpoints._manager, 'restore', exhausted)
  with pytest.raises(UserError, match='MemoryError'):
    checkpoints.restore_last(state(0), print)
  checkpoints.close()
  assert not (workdir / 'corrupt').exists()


def snapshot(folder):
  return {
    path: path.stat().st_mtime_ns
    for path in sorted([folder, *folder.rglob('*')])
  }


def test_reading_checkpoints_writes_nothing(workdir):
  # A save under way, as orbax names it.
  saving = workdir / 'checkpoints' / '30.orbax-checkpoint-tmp'
  saving.mkdir()
  before = snapshot(workdir)
  checkpoints = checkpoint.Checkpoints(workdir)
  like = state(0).variables
  checkpoints.restore_weights(checkpoints.best(), like, ema=False)
  checkpoints.close()
  assert snapshot(workdir) == before
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  checkpoints.save(state(40))
  checkpoints.close()
  assert not saving.exists()


def test_reading_checkpoints_makes_no_folder(tmp_path):
  checkpoints = checkpoint.Checkpoints(tmp_path / 'run')
  assert checkpoints.steps() == []
  checkpoints.close()
  assert not (tmp_path / 'run').exists()


def test_a_checkpoint_deleted_while_read_is_not_damaged(workdir):
  reader = checkpoint.Checkpoints(workdir)
  shutil.rmtree(workdir / 'checkpoints' / '10')
  with pytest.raises(integrity.Deleted):
    reader.restore_weights(10, state(0).variables, ema=False)
  reader.close()


def test_save_removes_older_checkpoints_from_disk(workdir):
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  for step in (30, 40):
    checkpoints.save(state(step))
  checkpoints.close()
  names = {path.name for path in (workdir / 'checkpoints').iterdir()}
  assert names == {'30', '40'}


def test_save_adds_scores_without_deleting(workdir):
  weights = workdir / 'checkpoints' / '10' / 'state'
  before = snapshot(weights)
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  checkpoints.save(state(10), {'all_joints': 50.0})
  assert checkpoints.evaluated(10) and not checkpoints.evaluated(20)
  assert checkpoints.best() == 10
  for step in (30, 40):
    checkpoints.save(state(step), {'all_joints': 40.0})
  checkpoints.close()
  assert snapshot(weights) == before
  checkpoints = checkpoint.Checkpoints(workdir)
  assert checkpoints.steps() == [10, 30, 40]
  assert checkpoints.best() == 10
  checkpoints.close()


def test_restore_last_refuses_another_network(workdir):
  other = state(0).replace(variables={'params': {'kernel': np.zeros((2, 2))}})
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  with pytest.raises(UserError, match='20 is of another network'):
    checkpoints.restore_last(other, print)
  assert checkpoints.steps() == [10, 20]
  checkpoints.close()


def test_an_old_stem_is_refused_with_the_reason(tmp_path):
  # Runs of fewer than 256 features, saved when every stem began with 64.
  model = hourglass.StackedHourglass(1, joints=3, features=8)
  like = hourglass.create_variables(model, 0, 64)
  old = jax.tree.map(np.copy, like)
  old['params']['stem']['conv']['kernel'] = np.zeros((7, 7, 3, 64), np.float32)
  checkpoint.save_weights(tmp_path, Config(), mpii.SKELETON, old)
  checkpoints = checkpoint.Checkpoints(tmp_path, writable=True)
  with pytest.raises(UserError, match='before the stem scaled with features'):
    checkpoints.restore_weights(0, like, ema=False)
  fresh = TrainState(step=np.int32(0), variables=like, opt_state=())
  with pytest.raises(UserError, match='before the stem scaled with features'):
    checkpoints.restore_last(fresh, print)
  checkpoints.close()


def test_weights_are_saved_again_after_an_interruption(tmp_path, monkeypatch):
  first, second = (state(n).variables for n in (1, 2))
  close = checkpoint.Checkpoints.close

  def interrupted(checkpoints):
    close(checkpoints)
    raise KeyboardInterrupt

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(checkpoint.Checkpoints, 'close', interrupted)
    checkpoint.save_weights(tmp_path, Config(), mpii.SKELETON, first)
  checkpoint.save_weights(tmp_path, Config(), mpii.SKELETON, second)
  checkpoints = checkpoint.Checkpoints(tmp_path)
  restored = checkpoints.restore_weights(0, second, ema=False)
  jax.tree.map(np.testing.assert_array_equal, restored, second)
  checkpoints.close()
  with pytest.raises(UserError, match='is not empty'):
    checkpoint.save_weights(tmp_path, Config(), mpii.SKELETON, second)


@pytest.mark.parametrize(
  ('folder', 'kept'),
  [('', 'up to step 20 are whole'), ('new', 'It has no checkpoint yet')],
)
def test_save_to_a_full_disk_is_one_line(workdir, folder, kept):
  workdir = workdir / folder
  # The limit on a file's size stands in for a full disk.
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    line = f'cannot be written: File too large. .*{kept}'
    with pytest.raises(UserError, match=line):
      checkpoints.save(state(30))
      checkpoints.close()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)
  checkpoints = checkpoint.Checkpoints(workdir, writable=True)
  if not folder:
    assert_same(checkpoints.restore_last(state(0), print), state(20))
  checkpoints.close()


def test_run_remembers_its_joints_and_refuses_others(tmp_path):
  two = Skeleton(joints=('a', 'b'), flip=(1, 0), groups={}, limbs=())
  run_config.save(tmp_path, Config(), two)
  assert run_config.load(tmp_path) == Config()
  assert run_config.load_skeleton(tmp_path) == two
  run_config.require_same_joints(tmp_path, two)
  other = dataclasses.replace(two, joints=('b', 'a'))
  with pytest.raises(UserError, match='finds the joints a, b; .* b, a'):
    run_config.require_same_joints(tmp_path, other)


def test_resuming_on_more_datasets_is_refused(tmp_path):
  run_config.save(tmp_path, Config(data=Data(dir='a')), mpii.SKELETON)
  run_config.require_same_run(tmp_path, Config(data=Data(dir='moved/a')))
  with pytest.raises(UserError, match='trains on a, not on a,b'):
    run_config.require_same_run(tmp_path, Config(data=Data(dir='a,b')))


def test_run_from_before_skeletons_is_mpiis(tmp_path):
  (tmp_path / 'config.json').write_text(config.to_json(Config()))
  assert run_config.load(tmp_path) == Config()
  assert run_config.load_skeleton(tmp_path) == mpii.SKELETON


@pytest.mark.parametrize(
  'text',
  [
    '',
    '[]',
    '[' * 100_000,
    '{"skeleton": null}',
    '{"skeleton": {"flip": [0]}}',
  ],
)
def test_a_damaged_config_is_named(tmp_path, text):
  path = tmp_path / 'config.json'
  path.write_text(text)
  with pytest.raises(UserError, match=f'^{path} is damaged'):
    run_config.load_skeleton(tmp_path)


@pytest.mark.parametrize('part', ['checkpoints/20', 'weights.npz'])
def test_a_part_of_a_run_names_the_folder_to_give(tmp_path, part):
  run_config.save(tmp_path, Config(), mpii.SKELETON)
  (tmp_path / part).mkdir(parents=True)
  with pytest.raises(UserError, match=f'holds no run: .*; give {tmp_path}, '):
    run_config.load(tmp_path / part)


def test_a_config_that_cannot_be_read_is_no_damage(tmp_path):
  path = tmp_path / 'config.json'
  with pytest.raises(UserError, match=f'holds no run: {path} does not exist'):
    run_config.load(tmp_path)
  path.mkdir()
  with pytest.raises(UserError, match=f'^{path} cannot be read: Is a direct'):
    run_config.load(tmp_path)


# As tensorstore's threads do of what an event loop no longer waits for.
UNRAISABLE = """
from hg_jax.run import checkpoint
class Raises:
  def __init__(self, reason): self.reason = reason
  def __del__(self): raise RuntimeError(self.reason)
for reason in ('Event loop is closed', 'another'):
  Raises(reason)
"""


def test_closed_loops_alone_are_not_told_in_any_program():
  process = subprocess.run(
    [sys.executable, '-c', UNRAISABLE], capture_output=True, text=True
  )
  assert process.stderr.splitlines()[-1] == 'RuntimeError: another'
  assert 'Event loop' not in process.stderr
