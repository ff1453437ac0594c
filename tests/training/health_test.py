import jax
import numpy as np
import pytest

from hg_jax.base.config import Config, Optimizer
from hg_jax.training import health


class Lines:
  """A writer that remembers."""

  def __init__(self):
    self.lines, self.records = [], []

  def progress(self):
    pass

  def line(self, text):
    self.lines.append(text)

  def metrics(self, step, kind, values):
    self.records.append(values)


def metrics(loss=0.5, zero_loss=1.0, gradient_norm=1.0, stop=0):
  return {
    'loss': np.float32(loss),
    'stack_loss': np.float32([loss / 2, 3 * loss / 2]),
    'zero_loss': np.float32(zero_loss),
    'gradient_norm': np.float32(gradient_norm),
    'stop': np.int32(stop),
  }


def create_monitor(writer, *, epoch=4, **settings):
  config = Config(**{'log_every': 2, 'steps': 100} | settings)
  return health.TrainingMonitor(writer, config, start=0, epoch=epoch)


@pytest.mark.parametrize(
  'bad, what',
  [
    ({'loss': np.nan}, 'the loss is nan'),
    ({'gradient_norm': np.inf}, 'the gradient is inf'),
  ],
)
def test_settle_names_a_step_that_is_not_finite(bad, what):
  monitor = create_monitor(Lines(), log_every=100)
  monitor.add(1, metrics())
  monitor.add(2, metrics(**bad))
  with pytest.raises(health.NotFinite, match=f'step 2: {what}'):
    monitor.settle()


def test_add_records_the_means_since_the_last():
  writer = Lines()
  monitor = create_monitor(writer)
  for step, loss in enumerate([0.2, 0.4, 0.6, 0.8], 1):
    monitor.add(step, metrics(loss=loss))
  first, second = writer.records
  assert first['loss'] == pytest.approx(0.3)
  assert first['skill'] == pytest.approx(0.7)
  assert first['loss_stack1'] == pytest.approx(0.45)
  assert second['loss'] == pytest.approx(0.7)


def test_add_warns_of_a_plateau_once_after_an_epoch():
  writer = Lines()
  monitor = create_monitor(writer, epoch=600, log_every=100, steps=1000)
  for step in range(100, 900, 100):
    monitor.add(step, metrics(loss=0.99))
    warned = [line for line in writer.lines if 'all-zero' in line]
    assert len(warned) == (step >= 600)
  assert 'skill 0.010' in warned[0]


def test_add_ignores_a_plateau_in_the_first_updates():
  writer = Lines()
  monitor = create_monitor(writer, epoch=4, log_every=100, steps=1000)
  for step in (100, 200, 300, 400):
    monitor.add(step, metrics(loss=1.5))
  assert not [line for line in writer.lines if 'all-zero' in line]
  monitor.add(500, metrics(loss=1.5))
  assert [line for line in writer.lines if 'all-zero' in line]


def test_add_is_silent_when_a_network_learns():
  writer = Lines()
  monitor = create_monitor(writer)
  for step in range(1, 9):
    monitor.add(step, metrics(loss=0.9))
  assert not [line for line in writer.lines if 'warning' in line]


def test_add_warns_of_a_learning_rate_of_0():
  writer = Lines()
  monitor = create_monitor(
    writer, optimizer=Optimizer(learning_rate=0.0), epoch=1
  )
  for step in range(1, 5):
    monitor.add(step, metrics(loss=2.0))
  (warning,) = (line for line in writer.lines if 'warning' in line)
  assert 'the learning rate is 0 at step 2' in warning


def test_stop_is_known_two_steps_later():
  monitor = create_monitor(Lines(), log_every=100)
  monitor.add(1, metrics(stop=1))
  monitor.add(2, metrics())
  assert not monitor.stop
  monitor.add(3, metrics())
  assert monitor.stop


def test_timed_advises_when_data_are_late():
  writer = Lines()
  monitor = create_monitor(writer)

  def slow():
    while True:
      before = health.time.perf_counter()
      while health.time.perf_counter() < before + 0.01:
        pass
      yield None

  for step, _ in zip(range(1, 3), monitor.timed(slow()), strict=False):
    monitor.add(step, metrics())
  assert writer.records[0]['waiting_for_data'] > 0.5
  assert any('data.resident' in line for line in writer.lines)


def test_stepping_counts_a_second_compilation():
  writer = Lines()
  monitor = create_monitor(writer)
  step = jax.jit(lambda x: x + 1)
  for shape in ((2,), (2,), (3,)):
    with monitor.stepping():
      step(np.zeros(shape))
  assert ['again' in line for line in writer.lines] == [False, True]
  for number in (1, 2):
    monitor.add(number, metrics())
  assert writer.records[0]['recompilations'] == 1
