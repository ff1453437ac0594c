import os
import signal
import subprocess
import sys

from hg_jax.run.interruption import Interruption

PROGRAM = """
import os, signal
from hg_jax.run.interruption import Interruption
with Interruption():
  os.kill(os.getpid(), signal.SIGTERM)
  print('went on', flush=True)
  os.kill(os.getpid(), signal.SIGINT)
  print('went on again', flush=True)
"""


def test_a_signal_is_noted_and_the_handlers_come_back(capfd):
  before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  with Interruption() as interruption:
    assert interruption.signal is None
    os.kill(os.getpid(), signal.SIGINT)
    assert interruption.signal == signal.SIGINT
  after = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  assert after == before
  assert 'SIGINT: saving' in capfd.readouterr().err


def test_the_second_signal_ends_the_program_at_once():
  done = subprocess.run(
    [sys.executable, '-c', PROGRAM], capture_output=True, text=True
  )
  assert done.stdout == 'went on\n'
  assert done.returncode == 128 + signal.SIGINT
  assert 'Traceback' not in done.stderr
