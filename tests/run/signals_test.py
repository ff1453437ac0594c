import os
import signal
import subprocess
import sys

import pytest

from hg_jax.run.signals import SignalWatch

pytestmark = pytest.mark.usefixtures('default_signals')

PROGRAM = """
import os, signal
from hg_jax.run.signals import SignalWatch
with SignalWatch():
  os.kill(os.getpid(), signal.SIGTERM)
  print('went on', flush=True)
  os.kill(os.getpid(), signal.SIGINT)
  print('went on again', flush=True)
"""
WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


@pytest.mark.parametrize('number', WATCHED)
def test_signal_watch_notes_a_signal_and_restores_handlers(number, capfd):
  before = [signal.getsignal(n) for n in WATCHED]
  with SignalWatch('writing what was found') as watch:
    assert watch.signal is None
    os.kill(os.getpid(), number)
    assert watch.signal == number
  assert [signal.getsignal(n) for n in WATCHED] == before
  error = capfd.readouterr().err
  assert f'{signal.Signals(number).name}: writing what was found' in error


def test_signal_watch_passes_on_a_signal_that_came_too_late():
  came = []
  before = signal.signal(signal.SIGTERM, lambda n, _: came.append(n))
  with SignalWatch() as watch:
    os.kill(os.getpid(), signal.SIGTERM)
  assert came == []
  watch.pass_on()
  signal.signal(signal.SIGTERM, before)
  assert came == [signal.SIGTERM]


def test_signal_watch_leaves_ignored_signals_ignored():
  # As under nohup.
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with SignalWatch() as watch:
      os.kill(os.getpid(), signal.SIGHUP)
      assert watch.signal is None
  finally:
    signal.signal(signal.SIGHUP, before)


def test_signal_watch_ends_at_once_at_the_second_signal():
  done = subprocess.run(
    [sys.executable, '-c', PROGRAM], capture_output=True, text=True
  )
  assert done.stdout == 'went on\n'
  assert done.returncode == 128 + signal.SIGINT
  assert 'Traceback' not in done.stderr
