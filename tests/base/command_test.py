import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from hg_jax.base import command


@pytest.fixture
def no_cache(monkeypatch):
  """JAX without a cache of compiled programs, and what is set in it."""
  before = jax.config.jax_compilation_cache_dir
  jax.config.update('jax_compilation_cache_dir', None)
  yield
  jax.config.update('jax_compilation_cache_dir', before)


@pytest.mark.parametrize(
  ('argument', 'expanded'),
  [
    ('--workdir=~/runs', '--workdir=/home/me/runs'),
    ('--config.data.dir=~/a,~/b', '--config.data.dir=/home/me/a,/home/me/b'),
    ('--output=~', '--output=/home/me'),
    ('--output=a~b', '--output=a~b'),
    ('--config=~/adam.py', '--config=/home/me/adam.py'),
    ('photo~1.jpg', 'photo~1.jpg'),
  ],
)
def test_expand_home_of_every_flag(monkeypatch, argument, expanded):
  monkeypatch.setenv('HOME', '/home/me')
  assert command._expand_home(argument) == expanded


def test_cache_compilations_in_the_users_folder(
  no_cache, monkeypatch, tmp_path, capsys
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  command.cache_compilations()
  assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'hg_jax/xla')
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('home', ['file', 'none'])
def test_cache_compilations_warns_without_a_home(
  no_cache, monkeypatch, tmp_path, capsys, home
):
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  if home == 'file':
    (tmp_path / 'home').write_text('')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  else:
    monkeypatch.delenv('HOME')
    monkeypatch.setattr('os.getuid', lambda: 2**31 - 7)  # of no user
  command.cache_compilations()
  assert jax.config.jax_compilation_cache_dir is None
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('warning: every start compiles anew')


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is of Linux')
@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    ({}, b'GLIBC_TUNABLES=glibc.malloc.hugetlb=1'),
    ({'GLIBC_TUNABLES': ''}, b'GLIBC_TUNABLES='),
  ],
)
def test_commands_start_with_huge_pages_unless_told_otherwise(given, expected):
  environment = {k: v for k, v in os.environ.items() if k != 'GLIBC_TUNABLES'}
  process = subprocess.Popen(
    [sys.executable, '-u', '-m', 'hg_jax.predict', '-', '--output=never'],
    env=environment | given,
    stdin=subprocess.PIPE,  # for which it waits
    stderr=subprocess.DEVNULL,
  )
  # What the program was started with, the last time.
  started_with = Path(f'/proc/{process.pid}/environ')
  deadline = time.monotonic() + 60
  while expected not in started_with.read_bytes().split(b'\0'):
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)
  process.communicate(b'')
