"""Several processes, on one machine or many, that train as one.

`jax.distributed` finds the processes that SLURM or Open MPI started. Started
by hand, each needs JAX_COORDINATOR_ADDRESS (host:port of the first process),
JAX_NUM_PROCESSES and JAX_PROCESS_ID. Only the first process reads checkpoints
and writes files; it sends the others what they need, so the run's folder need
not be on a shared file system.
"""

import collections
import itertools
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jax
import numpy as np
from jax._src import distributed  # its client has no other name
from jax.experimental import multihost_utils

from hg_jax.base.errors import UserError
from hg_jax.run.coordinator import Coordinator

_NAMES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
# Of SLURM, in a step begun by srun, and of Open MPI.
_TASKS = ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')
_REPORT = 3600  # s, of the first one's report
_FAILURE = 'hg_jax/failure'  # key of the reason, and name of a barrier
_ALIVE = 'hg_jax/alive'  # keys of each process's last beat
_BEAT = 0.5  # s
_FAREWELL = 5  # s, for all processes to read the reason
_GATHERING = 300  # s, for all processes to start
_PATIENCE = 5  # s of it, until a line says that this one waits
_ADVICE = 'its output may say why; the same commands go on'
_COUNT = itertools.count()  # of the values sent, the same in all processes
_ENDING = threading.Lock()  # of the thread that ends this process


@contextmanager
def joined(*, heartbeat_timeout: int = 20) -> Iterator[None]:
  """Joins the other processes, if there are any; before any use of JAX.

  A process that fails tells the others why, and all end with status 1; they
  would wait for each other in the middle of a step. One that dies without a
  word is missed by the one before it, which tells the others likewise.

  Args:
    heartbeat_timeout: seconds after which a silent process counts as dead.

  Raises:
    UserError: the environment describes the others only in part, or they
      cannot be reached.
  """
  _initialize(heartbeat_timeout)
  if distributed.global_state.client is None:
    yield
    return
  over = threading.Event()
  watch = threading.Thread(
    target=_end_with_another,
    args=(over, int(heartbeat_timeout / _BEAT)),
    daemon=True,
  )
  watch.start()
  ended = None
  try:
    try:
      require_same(
        {
          _NAMES[1]: distributed.global_state.num_processes,
          'the version of JAX': jax.__version__,
        }
      )
      _require_equal_devices()
      yield
    except SystemExit as error:  # By a signal, in all at the same step.
      ended = error
    # Waits for all, who are watched: the first one writes a report.
    jax.distributed.shutdown()
  except BaseException as error:
    _end_all(error)
  # A thread that waits in C++ when Python ends aborts the process.
  over.set()
  watch.join()
  if ended:
    raise ended


def _end_all(error: BaseException) -> None:
  """Prints why this process fails, tells the others, and ends."""
  reason = ' '.join(str(error).split())
  if 'Gloo' in reason or 'NCCL' in reason:
    # The others notice themselves, and the dead one would not come to their
    # farewell; JAX's heartbeat aborts those who wait for it.
    _end(f'error: another process is gone ({reason[:120]}); {_ADVICE}')
  if not isinstance(error, UserError):
    traceback.print_exc()
    reason = f'{type(error).__name__}: {reason}'
  told = f'{_number()} failed: {reason}'
  _end(f'error: {reason}', tell=told, meet=True)


def _end_with_another(over: threading.Event, patience: int) -> None:
  """Waits until another process fails and ends this one, or for `over`.

  Not every collective notices that a process has died: Gloo's may wait for it,
  until JAX aborts. So each process counts in the open, and watches the next.

  Args:
    over: ends the watch.
    patience: own beats without one of the next process, until that counts as
      dead. Not seconds: all may be suspended together.
  """
  client = distributed.global_state.client
  number, following = _number(), _number(1)
  heard, missed, beats = None, 0, 0
  while not over.is_set():
    beats += 1
    try:
      client.key_value_set(
        f'{_ALIVE}/{number}', str(beats), allow_overwrite=True
      )
      reason = client.blocking_key_value_get(_FAILURE, int(1000 * _BEAT))
    except jax.errors.JaxRuntimeError as error:
      if 'DEADLINE_EXCEEDED' not in str(error):
        return  # The coordinator is gone, at which JAX ends this process.
    else:
      _end(f'error: process {reason}', meet=True)
    said = None
    with suppress(jax.errors.JaxRuntimeError):  # It said nothing yet.
      said = client.key_value_try_get(f'{_ALIVE}/{following}')
    missed = missed + 1 if said == heard else 0
    heard = said
    if missed > patience:
      gone = f'another process is gone: {following} is silent; {_ADVICE}'
      told = f'{number} failed: {gone}'
      _end(f'error: {gone}', tell=told, meet=True)


def _end(line: str, *, tell: str | None = None, meet: bool = False) -> None:
  """Prints a line and ends this process.

  Args:
    line: the reason.
    tell: the reason, for the others, who end likewise.
    meet: wait until all have read it.
  """
  _ENDING.acquire()  # Another thread that holds it ends the process.
  sys.stdout.flush()
  os.write(2, f'{line}\n'.encode())
  client = distributed.global_state.client
  if tell:
    with suppress(jax.errors.JaxRuntimeError):  # Another told it before.
      client.key_value_set(_FAILURE, tell)
  if meet:
    with suppress(jax.errors.JaxRuntimeError):  # One is gone already.
      client.wait_at_barrier(_FAILURE, 1000 * _FAREWELL)
    if is_first_process():
      distributed.global_state.service.shutdown(after=_FAREWELL)
  os._exit(1)


def _require_equal_devices() -> None:
  counts = collections.Counter(d.process_index for d in jax.devices())
  if len(set(counts.values())) > 1:
    listed = ', '.join(f'process {p} has {n}' for p, n in counts.items())
    raise UserError(
      f'the processes have different numbers of devices: {listed}; give each '
      'the same number.'
    )


def _initialize(heartbeat_timeout: int) -> None:
  given = {name: os.environ[name] for name in _NAMES if name in os.environ}
  if not given and all(int(os.environ.get(name, 1)) == 1 for name in _TASKS):
    return
  # Its handler of SIGTERM would replace those of `signals`.
  jax.config.update('jax_enable_preemption_service', False)
  gathered = threading.Event()
  threading.Thread(target=_await, args=(gathered,), daemon=True).start()
  try:
    with _coordinator_outside():
      jax.distributed.initialize(
        **(_by_hand(given) if given else {}),
        # When JAX aborts all; they should have ended by themselves.
        heartbeat_timeout_seconds=5 * heartbeat_timeout,
        initialization_timeout=2 * _GATHERING,
        shutdown_timeout_seconds=_REPORT,
      )
  except (RuntimeError, ValueError) as error:
    reason = str(error).splitlines()[0]
    raise UserError(f'the other processes cannot be reached: {reason}') from (
      error
    )
  finally:
    gathered.set()


def _await(gathered: threading.Event) -> None:
  """Says that this process waits for others; ends it if they do not come."""
  if gathered.wait(_PATIENCE):
    return
  known = distributed.global_state
  who = f'process {known.process_id}'
  where = f'for the others at {known.coordinator_address}'
  print(f'{who} waits {where}, {_GATHERING} s at most', file=sys.stderr)
  if not gathered.wait(_GATHERING):
    _end(
      f'error: {who} waited {where}, but not all came; start each with this '
      'address, which must be of process 0, with their count, and with a '
      'number of its own.'
    )


@contextmanager
def _coordinator_outside() -> Iterator[None]:
  """Has JAX take `Coordinator` for the service it makes in the first one."""
  inside = distributed._jax.get_distributed_runtime_service
  distributed._jax.get_distributed_runtime_service = Coordinator
  try:
    yield
  finally:
    distributed._jax.get_distributed_runtime_service = inside


def _by_hand(given: dict[str, str]) -> dict[str, int]:
  """What `jax.distributed` does not read from the environment itself."""
  if missing := [name for name in _NAMES if name not in given]:
    raise UserError(f'{", ".join(given)} is set, but not {", ".join(missing)}.')
  address, count, number = given.values()
  port = address.rpartition(':')[2]
  if not (
    port.isdecimal()
    and 0 < int(port) < 2**16
    and count.isdecimal()
    and number.isdecimal()
    and int(number) < int(count)
  ):
    raise UserError(
      ' '.join(f'{name}={value}' for name, value in given.items())
      + ': these must be host:port of the first process, how many there are, '
      'and the number of this one, from 0.'
    )
  return {'num_processes': int(count), 'process_id': int(number)}


def _number(steps: int = 0) -> int:
  """The number of this process, or of one some steps on, before JAX knows."""
  known = distributed.global_state
  return (known.process_id + steps) % known.num_processes


def is_first_process() -> bool:
  """Whether this process is the one that reads and writes the run's folder."""
  return _number() == 0


def require_same(settings: dict[str, Any]) -> None:
  """Refuses to go on in processes that were given different settings.

  They would wait for each other, or compute something that nobody asked for.

  Args:
    settings: what has to be the same, of JSON's types, by what a user knows
      it by.

  Raises:
    UserError: this process has others than the first.
  """
  first = json_from_first(lambda: settings)
  own = json.loads(json.dumps(settings))
  different = [
    f'{name} = {own.get(name)}, process 0 has {first.get(name)}'
    for name in sorted({*own, *first})
    if own.get(name) != first.get(name)
  ]
  if different:
    raise UserError(
      f'process {_number()} has {"; ".join(different)}; give all the same.'
    )


def json_from_first(make: Callable[[], Any]) -> Any:
  """Returns in every process what `make` returns in the first, through JSON."""
  client = distributed.global_state.client
  if client is None:
    return json.loads(json.dumps(make()))
  key = f'hg_jax/values/{next(_COUNT)}'
  if is_first_process():
    client.key_value_set(key, json.dumps(make()))
  return json.loads(client.blocking_key_value_get(key, 1000 * _REPORT))


def broadcast_from_first(make: Callable[[], Any], like: Any) -> Any:
  """Returns in every process what the first one makes.

  Args:
    make: called in the first process only.
    like: a tree of arrays of the shapes and dtypes of what it makes.
  """
  if jax.process_count() == 1:
    return make()
  if is_first_process():
    value = make()
  else:
    value = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
  return jax.device_get(multihost_utils.broadcast_one_to_all(value))


def run_on_first(action: Callable[[], None]) -> None:
  """Calls `action` in the first process while the others wait for it."""
  json_from_first(action)


def all_gather(tree: Any) -> Any:
  """Stacks the arrays of all processes along a new first axis."""
  if jax.process_count() == 1:
    return jax.tree.map(lambda x: np.asarray(x)[None], tree)
  return multihost_utils.process_allgather(tree)
