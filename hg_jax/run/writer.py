"""What a run says while it works: log lines, metrics.jsonl, TensorBoard."""

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
    """Opens the files of a run that stands at `step` of `steps`.

    Records of later steps are dropped: an interrupted run wrote them, and
    will write them again.
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
    """One more step is done."""
    if self._bar:
      self._bar.update()

  def line(self, text: str) -> None:
    """Prints a line, above the progress bar if there is one."""
    stamped = f'{time.strftime("%H:%M:%S")} {text}'
    tqdm.write(stamped) if self._bar else print(stamped, flush=True)

  def metrics(self, step: int, kind: str, values: dict[str, float]) -> None:
    """Records numbers of `kind` ('train' or 'valid') at `step`."""
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

  def progress(self) -> None:
    pass

  def line(self, text: str) -> None:
    pass

  def metrics(self, step: int, kind: str, values: dict[str, float]) -> None:
    pass

  def close(self) -> None:
    pass


def read_metrics(path: Path) -> list[dict]:
  """The records of metrics.jsonl, less a last line cut off by a crash."""
  if not path.exists():
    return []
  lines = path.read_text().split('\n')
  # What follows the last newline is empty, or was being written at the end.
  return [json.loads(line) for line in lines[:-1]]
