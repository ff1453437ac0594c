"""Several processes, on one machine or many, that train as one.

`jax.distributed` finds the processes that SLURM or Open MPI started. Started
by hand, each needs JAX_COORDINATOR_ADDRESS (host:port of the first process),
JAX_NUM_PROCESSES and JAX_PROCESS_ID. Only the first process reads checkpoints
and writes files; it sends the others what they need, so the run's folder need
not be on a shared file system.

When a process dies, JAX ends the others within the heartbeat's timeout, in its
own words and with a status that is not 0.
"""

import collections
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from hg_jax.base.errors import UserError

_NAMES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
# Of SLURM, in a step begun by srun, and of Open MPI.
_TASKS = ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')
_REPORT = 3600  # s, of the first one's report
_GATHERING = 300  # s, for all processes to start


@contextmanager
def joined(*, heartbeat_timeout: int = 20) -> Iterator[None]:
  """Joins the other processes, if there are any; before any use of JAX.

  Args:
    heartbeat_timeout: seconds after which a silent process counts as dead.

  Raises:
    UserError: the environment describes the others only in part, they cannot
      be reached, or they differ in devices or in the version of JAX.
  """
  if not _initialize(heartbeat_timeout):
    yield
    return
  try:
    try:
      _require_equal_devices()
      require_same({'the version of JAX': jax.__version__})
      yield
    finally:
      if not _failing():
        jax.distributed.shutdown()  # Waits for all: the first writes a report.
  except SystemExit:
    raise  # By a signal, in all at the same step.
  except BaseException as error:
    if not isinstance(error, UserError):
      traceback.print_exc()
    reason = ' '.join(str(error).split()) or type(error).__name__
    print(f'error: process {jax.process_index()}: {reason}', file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # A usual end would wait for the others, who wait for this one.
    os._exit(1)


def _failing() -> bool:
  """Tells whether an error other than a usual end is on its way."""
  kind = sys.exc_info()[0]
  return kind is not None and not issubclass(kind, SystemExit)


def _initialize(heartbeat_timeout: int) -> bool:
  """Joins the processes that the environment names; False if there are none."""
  given = {name: os.environ[name] for name in _NAMES if os.environ.get(name)}
  started = {name: os.environ[name] for name in _TASKS if os.environ.get(name)}
  if not given and all(count == '1' for count in started.values()):
    return False
  arguments = _by_hand(given) if given else {}
  described = ', '.join(f'{k}={v}' for k, v in (given or started).items())
  print(
    f'joining other processes ({described}), for {_GATHERING} s at most; to '
    'run alone, unset these',
    file=sys.stderr,
  )
  # Its handler of SIGTERM would replace those of `signals`.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      **arguments,
      heartbeat_timeout_seconds=heartbeat_timeout,
      initialization_timeout=_GATHERING,
      shutdown_timeout_seconds=_REPORT,
    )
  except (KeyError, RuntimeError, ValueError) as error:
    reason = (str(error).splitlines() or [''])[0]
    raise UserError(
      f'the other processes ({described}) cannot be reached: {reason}; to run '
      'alone, unset these.'
    ) from error
  return True


def _by_hand(given: dict[str, str]) -> dict[str, int]:
  """Returns what `jax.distributed` does not read from the environment."""
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


def _require_equal_devices() -> None:
  counts = collections.Counter(d.process_index for d in jax.devices())
  if len(set(counts.values())) > 1:
    listed = ', '.join(f'process {p} has {n}' for p, n in counts.items())
    raise UserError(
      f'the processes have different numbers of devices: {listed}; give each '
      'the same number.'
    )


def is_first_process() -> bool:
  """Tells whether this process reads and writes the run's folder."""
  return jax.process_index() == 0


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
  # All end: the others would wait for this one's heartbeat.
  if all_gather(np.int32(bool(different))).any():
    raise UserError(
      f'{"; ".join(different) or "another process was given other settings"}; '
      'give all the same.'
    )


def json_from_first(make: Callable[[], Any]) -> Any:
  """Returns in every process what `make` returns in the first, through JSON."""
  if jax.process_count() == 1:
    return json.loads(json.dumps(make()))
  made = json.dumps(make()).encode() if is_first_process() else b''
  length = int(multihost_utils.broadcast_one_to_all(np.int32(len(made))))
  data = np.zeros(length, np.uint8)
  if is_first_process():
    data[:] = np.frombuffer(made, np.uint8)
  data = np.asarray(multihost_utils.broadcast_one_to_all(data), np.uint8)
  return json.loads(data.tobytes())


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
