import subprocess
import sys
from pathlib import Path

import pytest

from hg_jax.base import files
from hg_jax.base.errors import UserError


def test_write_replaces_the_file(tmp_path):
  path = tmp_path / 'file'
  for text in ('a longer text', 'short'):
    files.write(path, text)
    assert path.read_text() == text
  assert list(tmp_path.iterdir()) == [path]


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
    'with files.locked(pathlib.Path(sys.argv[1])):\n'
    '  print("held", flush=True)\n'
    '  time.sleep(600)\n'
  )
  other = subprocess.Popen(
    [sys.executable, '-c', program, str(tmp_path)], stdout=subprocess.PIPE
  )
  assert other.stdout.readline() == b'held\n'
  with (
    pytest.raises(UserError, match=f'in use by process {other.pid} on'),
    files.locked(tmp_path),
  ):
    pass
  other.kill()
  other.wait()
  with files.locked(tmp_path):
    pass
