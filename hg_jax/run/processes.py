"""Many processes, on one machine or many, that train as one.

Started by SLURM or Open MPI, or by hand with JAX_COORDINATOR_ADDRESS
(host:port of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID. The
first process alone reads checkpoints and writes files; what the others need
of them it sends, so a shared file system is not needed for the run's folder.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from hg_jax.base.errors import UserError

# A process that is not heard of for this long is dead, and so are the others.
_TIMEOUT = 30  # s


def _start() -> None:
  if not _many(os.environ):
    return
  # Its handler of SIGTERM would replace those of `signals`.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      **_by_hand(os.environ),
      heartbeat_timeout_seconds=_TIMEOUT,
      shutdown_timeout_seconds=_TIMEOUT,
    )
  except (RuntimeError, ValueError) as error:
    reason = str(error).splitlines()[0]
    raise UserError(f'the other processes cannot be reached: {reason}') from (
      error
    )


def _many(environment: dict[str, str]) -> bool:
  given = [name for name in _NAMES if name in environment]
  if given and len(given) < len(_NAMES):
    missing = ', '.join(sorted(set(_NAMES) - set(given)))
    raise UserError(f'{", ".join(given)} is set, but not {missing}.')
  tasks = (environment.get(n, '1') for n in _TASKS)
  return bool(given) or any(int(count) > 1 for count in tasks)


_NAMES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
# Of SLURM, in a step begun by srun, and of Open MPI; JAX finds the rest.
_TASKS = ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')


def _by_hand(environment: dict[str, str]) -> dict[str, Any]:
  if _NAMES[0] not in environment:
    return {}
  address, count, number = (environment[name] for name in _NAMES)
  if not (
    count.isdecimal() and number.isdecimal() and int(number) < int(count)
  ):
    raise UserError(
      f'JAX_PROCESS_ID is {number!r} of JAX_NUM_PROCESSES {count!r}; the '
      'processes are numbered from 0.'
    )
  if not address.rpartition(':')[2].isdecimal():
    raise UserError(
      f'JAX_COORDINATOR_ADDRESS is {address!r}; it must be host:port.'
    )
  return {
    'coordinator_address': address,
    'num_processes': int(count),
    'process_id': int(number),
  }


def is_first_process() -> bool:
  """Whether this process is the one that reads and writes the run's folder."""
  return jax.process_index() == 0


@contextmanager
def joined() -> Iterator[None]:
  """Joins the other processes, if there are any; before any use of JAX.

  If this one fails, or another is gone, it ends at once, with one line.
  Python's own way out would wait for processes that wait for this one in the
  middle of a step.

  Raises:
    UserError: the environment describes the others only in part, or they
      cannot be reached.
  """
  _start()
  if jax.process_count() == 1:
    yield
    return
  connections = _connected()
  for peer, connection in connections.items():
    arguments = {'args': (connection, peer), 'daemon': True}
    threading.Thread(target=_end_when_gone, **arguments).start()
  try:
    yield
  except UserError as error:
    print(f'error: {error}', file=sys.stderr, flush=True)
    os._exit(1)
  finally:
    # Of what remains, a signal's end among it, all processes come to the same.
    for connection in connections.values():
      connection.sendall(_FAREWELL)


_FAREWELL = b'.'


def _connected() -> dict[int, socket.socket]:
  """A connection to the first process, or from it to all others.

  When a process dies, the system closes its connections at once, where JAX
  takes half a minute to miss it, and then dumps every thread's stack.
  """
  server = socket.create_server(('', 0)) if is_first_process() else None
  name, port = broadcast_from_first(
    lambda: (_padded(socket.gethostname()), np.int32(server.getsockname()[1])),
    like=(np.zeros(256, np.uint8), np.int32(0)),
  )
  if not server:
    host = os.environ.get(_NAMES[0], '').rpartition(':')[0]
    host = host or bytes(name).rstrip(b'\0').decode()
    connection = socket.create_connection((host, int(port)), _TIMEOUT)
    connection.settimeout(None)
    connection.sendall(jax.process_index().to_bytes(4))
    return {0: connection}
  server.settimeout(_TIMEOUT)
  connections = {}
  while len(connections) < jax.process_count() - 1:
    connection, _ = server.accept()
    connection.settimeout(None)
    connections[int.from_bytes(connection.recv(4, socket.MSG_WAITALL))] = (
      connection
    )
  return connections


def _padded(name: str) -> np.ndarray:  # u8[256]
  return np.frombuffer(name.encode().ljust(256, b'\0'), np.uint8)


def _end_when_gone(connection: socket.socket, peer: int) -> None:
  try:
    gone = connection.recv(1) != _FAREWELL
  except OSError:
    gone = True
  if gone:
    sys.stdout.flush()
    line = f'error: process {peer} is gone, so process {jax.process_index()} '
    os.write(2, f'{line}stops; start all of them again to go on.\n'.encode())
    os._exit(1)


def broadcast_from_first(make: Callable[[], Any], like: Any) -> Any:
  """What the first process makes, in every process.

  Args:
    make: called in the first process only.
    like: a tree of arrays of the shapes and dtypes of what it makes.
  """
  if jax.process_count() == 1:
    return make()
  value = (
    make()
    if is_first_process()
    else jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
  )
  return jax.device_get(multihost_utils.broadcast_one_to_all(value))


def run_on_first(action: Callable[[], None]) -> None:
  """Has the first process do something, and the others wait for it."""

  def done() -> np.ndarray:
    action()
    return np.int32(0)

  broadcast_from_first(done, like=np.int32(0))


def all_gather(tree: Any) -> Any:
  """Trees of all processes' arrays, stacked along a new first axis."""
  if jax.process_count() == 1:
    return jax.tree.map(lambda x: np.asarray(x)[None], tree)
  return multihost_utils.process_allgather(tree)
