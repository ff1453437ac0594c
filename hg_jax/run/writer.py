"""Writes what a run reports: log lines, metrics.jsonl and TensorBoard."""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar
from tqdm import tqdm

from hg_jax.base import files


class MetricsWriter:
  """Writes metrics under a work directory and lines to the terminal."""

  def __init__(self, workdir: Path, *, step: int, steps: int, log_every: int):
    """Opens the files of a run that resumes at `step` of `steps`.

    Drops the records of later steps, which the run will write again; warns
    where those of `log_every` steps or more should be and none is.
    """
    self._path = workdir / 'metrics.jsonl'
    kept = [r for r in read_metrics(self._path) if r['step'] <= step]
    if not kept and step >= log_every:
      print(
        f'warning: {self._path} has no record of the first {step} steps; put '
        'it back if there is a copy, or figures of this run lack them.',
        file=sys.stderr,
      )
    files.write(self._path, ''.join(json.dumps(r) + '\n' for r in kept))
    folder = workdir / 'tensorboard'
    folder.mkdir(exist_ok=True)
    # Not SummaryWriter, whose thread meets the errors and keeps them.
    self._events = EventsWriter(str(folder / 'events'), f'.{step}')
    start = SessionLog(status=SessionLog.START)
    self._events.write_event(Event(step=step + 1, session_log=start))
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm(total=steps, initial=step, unit='step')

  def progress(self) -> None:
    """Moves the progress bar on by a step."""
    if self._bar:
      self._bar.update()

  def line(self, text: str) -> None:
    """Prints a line, above the progress bar if there is one."""
    stamped = f'{time.strftime("%H:%M:%S")} {text}'
    tqdm.write(stamped) if self._bar else print(stamped, flush=True)

  def metrics(self, step: int, kind: str, values: dict[str, float]) -> None:
    """Records the numbers of `kind` ('train' or 'valid') at `step`."""
    record = {'step': step, 'kind': kind, **values}
    with self._path.open('a') as file:
      file.write(json.dumps(record) + '\n')
    for name, value in values.items():
      self._events.write_event(
        Event(
          wall_time=time.time(),
          step=step,
          summary=scalar(f'{kind}/{name}', value),
        )
      )
    self._events.flush()

  def close(self) -> None:
    if self._bar:
      self._bar.close()
    with suppress(OSError):  # `metrics` has raised it.
      self._events.close()


class NullWriter:
  """The writer of all processes but the first: writes nothing."""

  def progress(self) -> None: ...
  def line(self, text: str) -> None: ...
  def metrics(self, step: int, kind: str, values: dict[str, float]) -> None: ...
  def close(self) -> None: ...


def read_metrics(path: Path) -> list[dict]:
  """Reads metrics.jsonl; leaves out damaged lines, and prints which."""
  if not path.exists():
    return []
  records = []
  # After the last newline is nothing, or a record that a crash cut off.
  with files.open_to_read(path) as file:
    lines = file.read().decode(errors='replace').split('\n')[:-1]
  for number, line in enumerate(lines, 1):
    try:
      record = json.loads(line)
    except (RecursionError, ValueError):
      record = None
    if _is_record(record):
      records.append(record)
    else:
      print(
        f'warning: line {number} of {path} is damaged and left out: '
        f'{line[:60]!r}',
        file=sys.stderr,
      )
  return records


def _is_record(record: Any) -> bool:
  """Whether `MetricsWriter` may have written it."""
  if not isinstance(record, dict) or type(record.get('step')) is not int:
    return False
  values = {name: value for name, value in record.items() if name != 'kind'}
  return isinstance(record.get('kind'), str) and all(
    type(value) in (int, float) for value in values.values()
  )
