"""The program through which several processes find and hear each other.

It is JAX's coordination service in a process of its own. JAX runs that in the
first process, and aborts the others with a stack trace when the first dies,
before they can be told of it.

  python coordinator.py ADDRESS PROCESSES OPTIONS

It ends when it is told to, or a while after the process that started it died.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

# If the first process died without a word. The others need so long to miss it
# and to tell each other.
_OUTLIVES = 40  # s


class Coordinator:
  """That program, to the process that started it."""

  def __init__(self, address: str, processes: int, **options: int | bool):
    """Starts it; takes what JAX gives to a service of its own.

    Args:
      address: host and port to listen at.
      processes: how many will come.
      options: of JAX's service.

    Raises:
      RuntimeError: it cannot listen there.
    """
    self._process = subprocess.Popen(
      # -P: names of this folder are none of the standard library.
      [sys.executable, '-P', __file__, address, str(processes)]
      + [json.dumps(options)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      start_new_session=True,  # A terminal's Ctrl-C does not reach it.
    )
    said = self._process.stdout.readline().decode().strip()
    if said != 'listening':
      self._process.communicate()
      # JAX crashes at some addresses, others have a reason.
      raise RuntimeError(f'nothing can listen at {address} {said}'.strip())

  def shutdown(self, *, after: int = 0) -> None:
    """Ends it.

    Args:
      after: seconds that the others still need it; the program that started
        it does not wait for them.
    """
    self._process.stdin.write(str(after).encode())
    self._process.stdin.close()
    if not after:
      self._process.wait()


def _serve(address: str, processes: str, options: str) -> None:
  """Serves until the process that started this one ends it or dies."""
  from jaxlib import _jax  # has no other name

  # SLURM sends signals to all processes.
  for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
  try:
    _await_port(int(address.rpartition(':')[2]), _OUTLIVES + 5)
    service = _jax.get_distributed_runtime_service(
      address, int(processes), **json.loads(options)
    )
  except RuntimeError as error:
    print(error, flush=True)
    return
  print('listening', flush=True)
  # Who reads the others' errors need not wait for this program's end.
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
  time.sleep(int(sys.stdin.read() or _OUTLIVES))
  service.shutdown()


def _await_port(port: int, patience: float) -> None:
  """Waits until the coordinator of an earlier run has ended.

  JAX would share its port, and the processes of both runs would be mixed.

  Args:
    port: to listen at.
    patience: seconds.

  Raises:
    RuntimeError: another program has the port.
  """
  deadline = time.monotonic() + patience
  while True:
    try:
      with socket.create_server(('', port)):
        return
    except OSError as error:
      if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
        raise RuntimeError(f'({error.strerror})') from error
    time.sleep(1)


if __name__ == '__main__':
  _serve(*sys.argv[1:])
