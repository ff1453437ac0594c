import dataclasses
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.annotations.people import People
from hg_jax.base import files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.evaluation import predictions
from hg_jax.pictures import figures, plots
from hg_jax.run import bundle


def test_write_replaces_the_file(tmp_path):
  path = tmp_path / 'file'
  for text in ('a longer text', 'short'):
    files.write(path, text)
    assert path.read_text() == text
  assert list(tmp_path.iterdir()) == [path]


def test_write_follows_links_and_keeps_what_is_no_file(tmp_path):
  (tmp_path / 'link').symlink_to(tmp_path / 'file')
  files.write(tmp_path / 'link', b'text')
  assert (tmp_path / 'link').is_symlink()
  assert (tmp_path / 'file').read_bytes() == b'text'
  os.mkfifo(tmp_path / 'pipe')
  reader = os.open(tmp_path / 'pipe', os.O_RDONLY | os.O_NONBLOCK)
  files.write(tmp_path / 'pipe', 'text')
  assert os.read(reader, 9) == b'text'
  os.close(reader)
  assert (tmp_path / 'pipe').is_fifo()


# Every kind of file that is written at once; each is of more than 100 bytes.
WRITERS = {
  'a.png': lambda path: figures.write(path, noise((64, 64, 3))),
  'figure.svg': lambda path: plots.write(matplotlib.figure.Figure(), path),
  'weights.npz': lambda path: bundle.save(
    path.parent, Config(), SKELETON, {'params': {'kernel': noise((9, 9))}}
  ),
  'predictions.h5': lambda path: predictions.write(
    path, people(), noise((2, 16, 2)), noise((2, 16))
  ),
}


def noise(shape):
  return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def people():
  names = [field.name for field in dataclasses.fields(People)]
  columns = dict.fromkeys(names, np.arange(2)) | {'image': ['a.jpg', 'b.jpg']}
  return People(**columns)


@pytest.mark.parametrize('name', WRITERS)
def test_full_disk_leaves_the_old_file_or_none(name, tmp_path):
  path = tmp_path / name
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  for before in (None, b'the old file'):
    if before:
      path.write_bytes(before)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
      with pytest.raises((OSError, UserError), match='File too large') as told:
        WRITERS[name](path)
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, limits)
      signal.signal(signal.SIGXFSZ, ignored)
    assert '\n' not in str(told.value)
    left = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert left == ({name: before} if before else {})
  WRITERS[name](path)
  assert path.stat().st_size > 100


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='is of Linux')
def test_write_names_the_file_that_a_full_disk_refuses(tmp_path):
  (tmp_path / '.a.new').symlink_to('/dev/full')
  with pytest.raises(OSError, match='No space left') as refused:
    files.write(tmp_path / 'a', 'text')
  assert refused.value.filename == str(tmp_path / 'a')


def test_locked_names_the_holder_until_it_dies(tmp_path):
  program = (
    'import pathlib, sys, time\n'
    'from hg_jax.base import files\n'
    'with files.locked(pathlib.Path(sys.argv[1]), flag="--workdir"):\n'
    '  print("held", flush=True)\n'
    '  time.sleep(600)\n'
  )
  other = subprocess.Popen(
    [sys.executable, '-c', program, str(tmp_path)], stdout=subprocess.PIPE
  )
  assert other.stdout.readline() == b'held\n'
  with (
    pytest.raises(UserError, match=f'in use by process {other.pid} on'),
    files.locked(tmp_path, flag='--workdir'),
  ):
    pass
  for text in (b'', b'\xff\x00two\nlines'):
    (tmp_path / 'lock.holder').write_bytes(text)
    with pytest.raises(UserError, match='in use by .+; wait') as error:
      files.locked(tmp_path, flag='--workdir').__enter__()
    assert '\n' not in str(error.value)
  other.kill()
  other.wait()
  with files.locked(tmp_path, flag='--workdir'):
    pass
