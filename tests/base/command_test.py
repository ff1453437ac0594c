import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from absl import flags

from hg_jax.base import command
from hg_jax.base.errors import UserError


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
    ('~/photo.jpg', '/home/me/photo.jpg'),  # also after --flag
    ('a,~b.jpg', 'a,~b.jpg'),
  ],
)
def test_expand_home_of_every_flag(monkeypatch, argument, expanded):
  monkeypatch.setenv('HOME', '/home/me')
  assert command._expand_home(argument) == expanded


@pytest.mark.parametrize('argument', ['--workdir=a,~nobody_here/run', '~'])
def test_expand_home_names_a_home_that_is_not_known(monkeypatch, argument):
  monkeypatch.delenv('HOME')
  monkeypatch.setattr('os.getuid', lambda: 2**31 - 7)  # of no user
  with pytest.raises(UserError, match=r'~.* begins .*no home is known for it'):
    command._expand_home(argument)


def test_expand_home_leaves_a_file_whose_name_begins_so(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  (tmp_path / '~nobody_here').write_text('')
  assert command._expand_home('~nobody_here') == '~nobody_here'


@pytest.mark.parametrize('value', ['nan', 'inf', '-inf', '1e999'])
def test_parse_flags_refuses_what_is_no_finite_number(value, monkeypatch):
  values = flags.FlagValues()
  flags.DEFINE_float('threshold', 0.2, 'Any.', flag_values=values)
  monkeypatch.setattr(flags, 'FLAGS', values)
  with pytest.raises(SystemExit) as end:
    command.parse_flags(['command', f'--threshold={value}'])
  assert re.fullmatch(
    r'error: --threshold is (nan|-?inf); it must be a finite number\.',
    end.value.code,
  )


FAILURES = {
  'no memory': (MemoryError('for 7 TiB'), r'little memory \(for 7 TiB\)'),
  'no memory, no words': (MemoryError(), 'little memory;'),
  "none of XLA's": (
    jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: for\n9 bytes'),
    r'little memory \(RESOURCE_EXHAUSTED: for 9 bytes\)',
  ),
  'an error of the system': (
    OSError(errno.ENAMETOOLONG, 'File name too long', 'xxx'),
    'xxx: File name too long',
  ),
}


@pytest.mark.parametrize('failure', FAILURES)
def test_run_says_in_a_line_what_the_machine_refuses(failure, monkeypatch):
  error, line = FAILURES[failure]

  def main(_):
    raise error

  monkeypatch.setattr('absl.app.run', lambda main, **_: main(['command']))
  with pytest.raises(SystemExit) as end:
    command.run(main)
  assert re.match(f'error: .*{line}', str(end.value.code))
  assert '\n' not in end.value.code


# As orbax's do after an error, for minutes.
WAITING = """
import threading
from hg_jax.base import command
from hg_jax.base.errors import UserError
def main(_):
  threading.Thread(target=threading.Event().wait).start()
  raise UserError('it failed')
command.run(main)
"""


def test_run_does_not_wait_for_threads_after_an_error():
  ended = subprocess.run(
    [sys.executable, '-c', WAITING],
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert (ended.returncode, ended.stderr) == (1, 'error: it failed\n')


def test_cache_compilations_in_the_users_folder(
  no_cache, monkeypatch, tmp_path, capsys
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  command.cache_compilations()
  assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'hg_jax/xla')
  assert capsys.readouterr().err == ''


def test_cache_compilations_leaves_the_current_folder_alone(
  no_cache, monkeypatch, tmp_path
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  command.cache_compilations()
  cache = tmp_path / 'home' / '.cache' / 'hg_jax' / 'xla'
  assert jax.config.jax_compilation_cache_dir == str(cache)
  assert not (tmp_path / 'relative').exists()


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
