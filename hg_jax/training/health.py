"""Watches a training run: a line every `log_every` steps, and warnings.

A step's metrics are read two steps later, when the devices are done with it,
so that nothing waits for them. All processes read the same numbers at the
same step and take the same decision.
"""

import collections
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from hg_jax.base.config import Config
from hg_jax.run.writer import MetricsWriter
from hg_jax.training import optimizer

_DELAY = 2  # steps
# A network that learns is above this after an epoch (SPEC 0.8), if the epoch
# has more updates than networks take to get down to all-zero heatmaps.
_PLATEAU_SKILL = 0.05
_PLATEAU_UPDATES = 500
_MOST_WAITING = 0.1  # share of the time


class NotFinite(Exception):
  """The loss or the gradient of a step is nan or infinite.

  Attributes:
    step: its number.
  """

  def __init__(self, step: int, what: str):
    super().__init__(f'step {step}: {what}')
    self.step = step


class TrainingMonitor:
  """Logs the means of every `config.log_every` steps, and warns.

  Attributes:
    stop: whether a process was asked to stop; the same in all of them.
  """

  def __init__(
    self, writer: MetricsWriter, config: Config, *, start: int, epoch: int
  ):
    """Begins at step `start`; an epoch has `epoch` steps."""
    self.stop = False
    self._writer = writer
    self._config = config
    self._epoch = epoch
    self._schedule = optimizer.make_schedule(config)
    self._pending = collections.deque()
    self._metrics = []
    self._step = self._began_step = start
    self._compilations = 0
    self._stepped = False
    self._warned = set()
    self.restart()

  def restart(self) -> None:
    """Starts the clock anew, so that an evaluation is not counted."""
    self._began = time.perf_counter()
    self._began_step = self._step
    self._waited = 0.0

  def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
    """Yields the batches and adds up the time spent waiting for them."""
    began = time.perf_counter()
    for batch in batches:
      self._waited += time.perf_counter() - began
      yield batch
      began = time.perf_counter()

  @contextmanager
  def stepping(self) -> Iterator[None]:
    """Counts the compilations within a call of the train step."""
    compiled = []

    def note(event: str, seconds: float, **_) -> None:
      if event == '/jax/core/compile/backend_compile_duration':
        compiled.append(seconds)

    before = time.perf_counter()
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
      yield
    finally:
      jax.monitoring.unregister_event_duration_listener(note)
    if self._stepped and compiled:
      self._compilations += 1
      self._writer.line(
        f'warning: the train step was compiled again, in {sum(compiled):.1f} '
        's: a shape or a placement changed.'
      )
    elif not self._stepped:
      seconds = time.perf_counter() - before
      self._writer.line(f'the train step is compiled, in {seconds:.1f} s')
      self.restart()
    self._stepped = True

  def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
    """Adds the metrics of a step, and reads those of two steps ago.

    Raises:
      NotFinite: the loss or the gradient is not finite.
    """
    self._writer.progress()
    self._step = step
    self._pending.append((step, metrics))
    while len(self._pending) > _DELAY:
      self._read_metrics(*self._pending.popleft())
    if step % self._config.log_every == 0 or step == self._config.steps:
      self.settle()
      self._report(step)

  def settle(self) -> None:
    """Reads the metrics of all steps, waiting for the devices.

    Raises:
      NotFinite: the loss or the gradient is not finite.
    """
    while self._pending:
      self._read_metrics(*self._pending.popleft())

  def _read_metrics(self, step: int, metrics: dict[str, jax.Array]) -> None:
    metrics = jax.device_get(metrics)
    self.stop |= bool(metrics['stop'])
    for name, what in (('loss', 'loss'), ('gradient_norm', 'gradient')):
      if not np.isfinite(metrics[name]):
        raise NotFinite(step, f'the {what} is {metrics[name]}')
    self._metrics.append(metrics)

  def _report(self, step: int) -> None:
    mean = {
      name: np.mean([metrics[name] for metrics in self._metrics], axis=0)
      for name in self._metrics[0]
    }
    self._metrics.clear()
    seconds = time.perf_counter() - self._began
    steps = max(step - self._began_step, 1)
    values = {
      'loss': float(mean['loss']),
      'skill': float(1 - mean['loss'] / mean['zero_loss']),
      'learning_rate': float(self._schedule(step - 1)),
      'gradient_norm': float(mean['gradient_norm']),
      'images_per_second': steps * self._config.batch_size / seconds,
      'waiting_for_data': self._waited / seconds,
      'memory_gb': memory() / 1e9,
      'recompilations': self._compilations,
    } | {
      f'loss_stack{i}': float(loss) for i, loss in enumerate(mean['stack_loss'])
    }
    self._writer.metrics(step, 'train', values)
    left = (self._config.steps - step) * seconds / steps
    self._writer.line(
      f'step {step}  loss {values["loss"]:.3e}  skill {values["skill"]:.3f}  '
      f'learning rate {values["learning_rate"]:.2e}  gradient '
      f'{values["gradient_norm"]:.1e}  '
      f'{values["images_per_second"]:.1f} images/s  '
      f'{100 * values["waiting_for_data"]:.0f} % waiting for data  '
      f'{values["memory_gb"]:.1f} GB  {duration(left)} left'
    )
    self._advise(step, values)
    self.restart()

  def _advise(self, step: int, values: dict[str, float]) -> None:
    if values['learning_rate'] == 0:
      self._warn(
        'rate',
        f'the learning rate is 0 at step {step}: the weights do not change. '
        'See config.optimizer.',
      )
    elif (
      step >= max(self._epoch, _PLATEAU_UPDATES)
      and values['skill'] < _PLATEAU_SKILL
    ):
      self._warn(
        'plateau',
        f'after {step / self._epoch:.1f} epochs the network is no better than '
        f'all-zero heatmaps (skill {values["skill"]:.3f}). The usual causes: '
        'a learning rate too high or too low, joints that do not belong to '
        'the images (look: python -m hg_jax.browse), a sigma too small for '
        'the heatmaps. If it lasts, start again with another rate.',
      )
    if values['waiting_for_data'] > _MOST_WAITING:
      self._warn(
        'waiting',
        f'{100 * values["waiting_for_data"]:.0f} % of the time goes into '
        'waiting for data. More host cores help, or '
        '--config.data.resident=True, or prepared crops of a smaller --size.',
      )

  def _warn(self, topic: str, text: str) -> None:
    """Writes each topic's warning once."""
    if topic not in self._warned:
      self._warned.add(topic)
      self._writer.line(f'warning: {text}')


def memory() -> int:  # bytes
  """Returns the most that a device used so far; on a CPU, this process."""
  # Not every allocator keeps statistics, or all of them.
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  peaks = [s['peak_bytes_in_use'] for s in stats if 'peak_bytes_in_use' in s]
  # Linux counts in kilobytes.
  return max(
    peaks, default=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  )


def duration(seconds: float) -> str:
  hours, seconds = divmod(int(seconds), 3600)
  return f'{hours}:{seconds // 60:02}:{seconds % 60:02}'
