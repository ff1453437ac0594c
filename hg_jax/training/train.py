"""The training loop, with its checkpoints, evaluations and interruptions."""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax

from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.data import records, resident
from hg_jax.data.records import Crops
from hg_jax.evaluation import evaluate, inference
from hg_jax.model import hourglass
from hg_jax.run import checkpoint, processes
from hg_jax.run.signals import SignalWatch
from hg_jax.run.train_state import TrainState
from hg_jax.run.writer import MetricsWriter, NullWriter
from hg_jax.training import health, messages, optimizer, train_step
from hg_jax.training.train_step import Batch

_PROFILE_AFTER = 5  # steps, when the first ones' compilation is over


class Stopped(Exception):
  """A signal ended training; the step that it stands at is saved.

  Attributes:
    signal: its number, or None where another process received it.
  """

  def __init__(self, step: int, signal: int | None):
    super().__init__(
      f'stopped at step {step}, which is saved; the same command goes on.'
    )
    self.signal = signal


def train_batches(
  crops: Crops, config: Config, start: int, devices: Sequence[jax.Device]
) -> Iterator[Batch]:
  """This process's batches from step `start` on, as the train step takes them.

  With `data.resident` they are what the device makes the inputs of.
  """
  share = {
    'start': start,
    'process': jax.process_index(),
    'processes': jax.process_count(),
  }
  here = train_step.local(devices)
  if config.data.resident:
    stored = resident.store(crops, here)
    recipes = resident.train_recipes(crops, config, **share)
    return (
      {'stored': stored, 'recipe': train_step.split(recipe, here)}
      for recipe in recipes
    )
  from hg_jax.data import input_pipeline  # TensorFlow

  batches = input_pipeline.train_batches(crops, config, **share)
  return (train_step.split(batch, here) for batch in batches)


def check_devices(config: Config) -> None:
  """Refuses a batch that the devices cannot share equally."""
  parts = jax.device_count() * config.accumulate_steps
  if config.batch_size % parts:
    fitting = max(config.batch_size // parts, 1) * parts
    shares = f'{jax.device_count()} devices'
    if config.accumulate_steps > 1:
      shares += f' in {config.accumulate_steps} parts each'
    raise UserError(
      f'config.batch_size is {config.batch_size}, which {shares} '
      f'cannot share equally; try {fitting}.'
    )


def train_and_evaluate(
  config: Config, workdir: Path, *, profile: int = 0
) -> None:
  """Trains to `config.steps`, from the last checkpoint if there is one.

  Args:
    config: the run's.
    workdir: its folder.
    profile: of how many steps to write a trace to `workdir`/profile.

  Raises:
    UserError: the config, the data or the workdir cannot be used, or the
      loss is no longer a number.
    Stopped: by SIGTERM or SIGINT.
  """
  check_devices(config)
  train_crops, valid_crops = (
    records.read(
      Path(config.data.dir), split, skip_corrupt=config.data.skip_corrupt
    )
    for split in ('train', 'valid')
  )
  tx, skeleton = optimizer.make_optimizer(config), train_crops.skeleton
  checkpoints = (
    checkpoint.Checkpoints(workdir) if processes.is_first_process() else None
  )
  state = processes.broadcast_from_first(
    lambda: _begin(config, tx, checkpoints, skeleton),
    like=jax.eval_shape(lambda: _untrained(config, tx, skeleton)),
  )
  start = int(state.step)
  writer = NullWriter()
  if processes.is_first_process():
    writer = MetricsWriter(workdir, step=start, steps=config.steps)
  writer.line(messages.begun(config, len(train_crops), len(valid_crops), start))
  for line in (*train_crops.skipped, *valid_crops.skipped):
    writer.line(f'skipping {line}')
  if advice := messages.about_size(train_crops, config):
    writer.line(f'warning: {advice}')
  run = _Run(config, tx, train_crops, valid_crops, checkpoints, writer)
  try:
    run.train(state, trace_to=workdir / 'profile', traced=profile)
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise UserError(messages.out_of_memory(config, skeleton)) from error
  except OSError as error:
    raise UserError(
      f'{error.filename or workdir} cannot be written: {error.strerror}; the '
      'same command goes on.'
    ) from error
  except health.NotFinite as error:
    raise UserError(
      messages.not_finite(error, config, train_crops, checkpoints)
    ) from error
  finally:
    if checkpoints:
      checkpoints.close()
    writer.close()


def _untrained(
  config: Config, tx: optax.GradientTransformation, skeleton: Skeleton
) -> TrainState:
  return train_step.create_train_state(config, tx, joints=len(skeleton.joints))


def _begin(
  config: Config,
  tx: optax.GradientTransformation,
  checkpoints: checkpoint.Checkpoints,
  skeleton: Skeleton,
) -> TrainState:
  """The state of the last checkpoint, or before the first step."""
  state = _untrained(config, tx, skeleton)
  if (last := checkpoints.restore_last(state, say=print)) is not None:
    return last
  if not config.init_from:
    return state
  origin = Path(config.init_from)
  checkpoint.require_same_weights(origin, config, skeleton)
  _, variables = inference.load_variables(
    origin, checkpoint.load_config(origin), 'best'
  )
  return train_step.begin(config, tx, variables)


class _Run:
  """What a run of the loop needs at every step."""

  def __init__(
    self,
    config: Config,
    tx: optax.GradientTransformation,
    train_crops: Crops,
    valid_crops: Crops,
    checkpoints: checkpoint.Checkpoints | None,
    writer: MetricsWriter | NullWriter,
  ):
    self._config = config
    self._crops = train_crops
    self._checkpoints = checkpoints
    self._writer = writer
    self._devices = jax.devices()
    joints = len(train_crops.skeleton.joints)
    self._step = train_step.make_train_step(
      config, tx, self._devices, joints=joints
    )
    self._evaluator = evaluate.Evaluator(
      hourglass.create_model(config, joints=joints), config, valid_crops
    )

  def train(self, state: TrainState, *, trace_to: Path, traced: int) -> None:
    """Trains from a state on the host to the last step."""
    config, start = self._config, int(state.step)
    watch = health.TrainingMonitor(
      self._writer,
      config,
      start=start,
      epoch=-(-len(self._crops) // config.batch_size),
    )
    state = train_step.replicate(config, state, self._devices)
    batches = train_batches(self._crops, config, start, self._devices)
    if traced:
      batches = _traced(batches, trace_to, traced, self._writer)
    with SignalWatch() as signal_watch:
      if self._owed(start):
        # A signal came while it was being evaluated.
        if not (scores := self._evaluate(state, signal_watch)):
          raise Stopped(start, signal_watch.signal)
        self._save(state, scores)
      for step, batch in enumerate(watch.timed(batches), start + 1):
        asked = np.full(jax.local_device_count(), bool(signal_watch.signal))
        with watch.stepping():
          state, metrics = self._step(state, batch, asked)
        watch.add(step, metrics)
        due = self._due(step)
        if due or step % config.checkpoint_every == 0 or watch.stop:
          watch.settle()
          scores = None
          if due and not watch.stop:
            scores = self._evaluate(state, signal_watch)
            watch.restart()
          self._save(state, scores)
          if watch.stop or (due and not scores):
            raise Stopped(step, signal_watch.signal)

  def _due(self, step: int) -> bool:
    """Whether the network is evaluated after this step."""
    config = self._config
    return step % config.evaluate_every == 0 or step == config.steps

  def _owed(self, step: int) -> bool:
    """Whether the checkpoint of this step should have scores, and has none."""
    if not step or not self._due(step):
      return False
    return not processes.broadcast_from_first(
      lambda: np.int32(self._checkpoints.evaluated(step)), like=np.int32(0)
    )

  def _evaluate(
    self, state: TrainState, signal_watch: SignalWatch
  ) -> dict[str, float] | None:
    """The scores of the weights to be used: of their average, if there is.

    None if a signal came.
    """
    state = train_step.fetch(state)
    step = int(state.step)
    run = partial(
      self._evaluator.run, stopped=lambda: signal_watch.signal is not None
    )
    try:
      raw = run(state.variables).summary()
      scores = run(state.ema).summary() if state.ema is not None else raw
    except evaluate.Interrupted:
      return None
    if state.ema is not None:
      self._writer.metrics(step, 'valid_raw', raw)
      self._writer.line(messages.scored(step, raw) + ' without averaging')
    self._writer.metrics(step, 'valid', scores)
    self._writer.line(messages.scored(step, scores))
    return scores

  def _save(self, state: TrainState, scores: dict[str, float] | None) -> None:
    if self._checkpoints:
      self._checkpoints.save(train_step.fetch(state), scores)


def _traced(
  batches: Iterator[Batch],
  folder: Path,
  steps: int,
  writer: MetricsWriter | NullWriter,
) -> Iterator[Batch]:
  """The batches; the steps on some of the first are traced into `folder`."""
  yield from itertools.islice(batches, _PROFILE_AFTER)
  with jax.profiler.trace(str(folder)):
    yield from itertools.islice(batches, steps)
  writer.line(
    f'wrote a trace of {steps} steps to {folder}; look with TensorBoard or '
    'ui.perfetto.dev'
  )
  yield from batches
