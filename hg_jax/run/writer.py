"""Writes what a run reports: log lines, metrics.jsonl and TensorBoard."""

import json
import sys
import time
from pathlib import Path

import tensorboardX
from tqdm import tqdm

from hg_jax.base import files


class MetricsWriter:
  """Writes metrics under a work directory and lines to the terminal."""

  def __init__(self, workdir: Path, *, step: int, steps: int):
    """Opens the files of a run that resumes at `step` of `steps`.

    Drops the records of later steps, which the run will write again.
    """
    path = workdir / 'metrics.jsonl'
    kept = [record for record in read_metrics(path) if record['step'] <= step]
    files.write(path, ''.join(json.dumps(record) + '\n' for record in kept))
    self._file = path.open('a')
    self._events = tensorboardX.SummaryWriter(
      str(workdir / 'tensorboard'), purge_step=step + 1
    )
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
    self._file.write(json.dumps(record) + '\n')
    self._file.flush()
    for name, value in values.items():
      self._events.add_scalar(f'{kind}/{name}', value, step)
    self._events.flush()

  def close(self) -> None:
    if self._bar:
      self._bar.close()
    self._file.close()
    self._events.close()


class NullWriter:
  """The writer of all processes but the first: writes nothing."""

  def progress(self) -> None: ...
  def line(self, text: str) -> None: ...
  def metrics(self, step: int, kind: str, values: dict[str, float]) -> None: ...
  def close(self) -> None: ...


def read_metrics(path: Path) -> list[dict]:
  """Reads metrics.jsonl, without a last line that a crash cut off."""
  if not path.exists():
    return []
  lines = path.read_text().split('\n')
  # After the last newline is nothing, or a record that a crash cut off.
  return [json.loads(line) for line in lines[:-1]]
