"""The training loop, with its checkpoints, evaluations and interruptions."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import jax
import numpy as np
import optax

from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import evaluate, evaluate_people, inference
from hg_jax.input import crops as cropping
from hg_jax.input import resident
from hg_jax.model import hourglass, people_maps, transfer
from hg_jax.run import bundle, processes, run_config
from hg_jax.run.checkpoint import Checkpoints
from hg_jax.run.signals import SignalWatch
from hg_jax.run.train_state import TrainState
from hg_jax.run.writer import MetricsWriter, NullWriter
from hg_jax.training import health, optimizer, tasks, train_step
from hg_jax.training.train_step import Batch

_PROFILE_AFTER = 5  # steps, when the first ones' compilation is over


class Stopped(Exception):
  """A signal ended training, after its last step was saved.

  Attributes:
    signal: its number, the same in all processes.
  """

  def __init__(self, step: int, signal: int):
    super().__init__(
      f'stopped at step {step}, which is saved; the same command goes on.'
    )
    self.signal = signal


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Run:
  """What the functions of the loop share; nothing in it changes."""

  config: Config
  task: tasks.Task
  data: tasks.Data  # what is trained on
  checkpoints: Checkpoints | None  # of the first process
  writer: MetricsWriter | NullWriter
  step: train_step.Step
  evaluator: evaluate.Evaluator | evaluate_people.PeopleEvaluator


def check_devices(config: Config) -> None:
  """Refuses a batch that cannot be divided equally among the devices."""
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
  """Trains to `config.steps`, from the last checkpoint if one exists.

  Args:
    config: the run's.
    workdir: its folder.
    profile: the number of steps to write a trace of to `workdir`/profile.

  Raises:
    UserError: the config, the data or the workdir cannot be used, or the
      loss or the gradient is not finite.
    Stopped: by a signal.
  """
  check_devices(config)
  task = tasks.TASKS[config.task]
  train_data, valid_data = _read_data(config, task)
  tx, skeleton = optimizer.make_optimizer(config), task.skeleton(train_data)
  joints = len(skeleton.joints)
  with _failures_explained(config, workdir), ExitStack() as stack:
    checkpoints, writer = None, NullWriter()
    if processes.is_first_process():
      checkpoints = Checkpoints(workdir, writable=True)
      stack.enter_context(closing(checkpoints))
    state = processes.broadcast_from_first(
      lambda: _initial_state(config, tx, skeleton, checkpoints),
      like=train_step.train_state_like(config, tx, joints=joints),
    )
    if processes.is_first_process():
      writer = MetricsWriter(
        workdir,
        step=int(state.step),
        steps=config.steps,
        log_every=config.log_every,
      )
      stack.enter_context(closing(writer))
    _describe_start(writer, config, train_data, valid_data, int(state.step))
    model = hourglass.create_model(config, joints=joints)
    run = _Run(
      config=config,
      task=task,
      data=train_data,
      checkpoints=checkpoints,
      writer=writer,
      step=train_step.make_train_step(config, tx, jax.devices(), joints=joints),
      evaluator=task.evaluator(model, config, valid_data),
    )
    try:
      _train(run, state, trace_to=workdir / 'profile', traced=profile)
    except health.NotFinite as error:
      raise UserError(_not_finite(run, error)) from error


def _read_data(
  config: Config, task: tasks.Task
) -> tuple[tasks.Data, tasks.Data]:
  """Reads what to train and to validate on, the same in all processes."""
  train, valid = task.read(config)
  processes.require_same(
    {
      'training people (checksum)': task.people_id(train),
      'validation people (checksum)': task.people_id(valid),
    }
  )
  return train, valid


@contextmanager
def _failures_explained(config: Config, workdir: Path) -> Iterator[None]:
  """Raises a UserError for a full memory or an error of the system."""
  with system_errors(workdir):
    try:
      yield
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      raise UserError(_out_of_memory(config)) from error


def _initial_state(
  config: Config,
  tx: optax.GradientTransformation,
  skeleton: Skeleton,
  checkpoints: Checkpoints,
) -> TrainState:
  """Restores the last checkpoint, or creates the first state of the run."""
  joints = len(skeleton.joints)
  like = train_step.train_state_like(config, tx, joints=joints)
  if (last := checkpoints.restore_last(like, say=print)) is not None:
    return last
  if not config.init_from:
    state = train_step.create_train_state(config, tx, joints=joints)
    if config.task == 'people':
      people_maps.begin_with_nobody(state.variables)
      return train_step.create_train_state_from(config, tx, state.variables)
    return state
  origin = bundle.folder_of(config.init_from)
  run_config.require_same_weights(origin, config)
  _, variables = inference.load_variables(
    origin, run_config.load(origin), 'best'
  )
  state = train_step.create_train_state(config, tx, joints=joints)
  variables = transfer.carry_over(
    variables,
    state.variables,
    skeleton_lib.matches(run_config.load_skeleton(origin), skeleton),
  )
  if config.task == 'people':
    people_maps.begin_with_nobody(variables)
  return train_step.create_train_state_from(config, tx, variables)


def _describe_start(
  writer: MetricsWriter | NullWriter,
  config: Config,
  train_data: tasks.Data,
  valid_data: tasks.Data,
  start: int,
) -> None:
  """Says how large the run is, what is skipped, and if crops fit inputs."""
  begin = f'resuming at step {start}' if start else 'starting'
  if config.init_from and not start:
    begin += f' from the weights of {config.init_from}'
  writer.line(
    f'{begin}: {config.model.stacks} stacks, {len(train_data)} training and '
    f'{len(valid_data)} validation {tasks.TASKS[config.task].unit}, batch '
    f'{config.batch_size} on '
    f'{jax.device_count()} {jax.devices()[0].platform} devices, '
    f'{config.steps * config.batch_size / len(train_data):.1f} epochs'
  )
  for line in train_data.notes:
    writer.line(line)
  if config.task == 'people':
    return
  for line in (*train_data.skipped, *valid_data.skipped):
    writer.line(f'skipping {line}')
  if problem := crop_size_problem(train_data.size, config.data.image_size):
    writer.line(f'warning: {problem}')


def crop_size_problem(crop_size: int, image_size: int) -> str | None:
  """Says what is wrong with crops much larger or smaller than the inputs.

  Args:
    crop_size: side of the prepared crops, px.
    image_size: side of the network's input, px.
  """
  suitable = cropping.crop_size(image_size)
  if crop_size > 1.5 * suitable:
    why = 'inputs are made faster, and without aliasing, from smaller ones'
  elif crop_size < 0.75 * suitable:
    why = 'inputs are blurred'
  else:
    return None
  return (
    f'the prepared crops are of {crop_size} px, for inputs of {image_size} '
    f'px: {why}; prepare with --size={suitable}.'
  )


def train_batches(
  data: tasks.Data, config: Config, start: int, devices: Sequence[jax.Device]
) -> Iterator[Batch]:
  """Yields this process's batches from step `start` on, for the train step.

  With `data.resident` they hold what the device makes the inputs from.
  """
  share = {
    'start': start,
    'process': jax.process_index(),
    'processes': jax.process_count(),
  }
  local_devices = train_step.local(devices)
  if config.data.resident:
    stored = resident.store(data, local_devices)
    recipes = resident.train_recipes(data, config, **share)
    return (
      {'stored': stored, 'recipe': train_step.split(recipe, local_devices)}
      for recipe in recipes
    )
  from hg_jax.input import input_pipeline  # TensorFlow

  batches = input_pipeline.train_batches(data, config, **share)
  return (train_step.split(batch, local_devices) for batch in batches)


def _train(
  run: _Run, state: TrainState, *, trace_to: Path, traced: int
) -> None:
  """Trains from a state on the host to the last step."""
  config, start = run.config, int(state.step)
  monitor = health.TrainingMonitor(
    run.writer,
    config,
    start=start,
    epoch=-(-len(run.data) // config.batch_size),
  )
  state = train_step.replicate(state, jax.devices())
  batches = train_batches(run.data, config, start, jax.devices())
  if traced:
    batches = _traced(batches, trace_to, traced, run.writer)
  if _lacks_scores(run, start):  # A signal came during its evaluation.
    _save(run, state, _evaluate(run, state))
  # Until a step is made, a signal has nothing to save and ends the program.
  with ExitStack() as stack:
    signals = SignalWatch()
    for step, batch in enumerate(monitor.timed(batches), start + 1):
      stop = np.full(jax.local_device_count(), signals.signal is not None)
      with monitor.stepping():
        state, metrics = run.step(state, batch, stop)
      if step == start + 1:
        stack.enter_context(signals)
      monitor.add(step, metrics)
      due = _evaluation_due(config, step)
      if due or step % config.checkpoint_every == 0 or monitor.stop:
        monitor.settle()
        scores = None
        if due and not monitor.stop:
          scores = _evaluate(run, state, lambda: signals.signal is not None)
          monitor.restart()
        _save(run, state, scores)
        # After the last one no step follows that would notice a signal.
        if monitor.stop or (due and not scores) or step == config.steps:
          came = processes.all_gather(np.int32(signals.signal or 0))
          if came.any():
            raise Stopped(step, int(came.max()))
  # One that came while another process was waited for, in the lines above.
  signals.pass_on()


def _traced(
  batches: Iterator[Batch],
  folder: Path,
  steps: int,
  writer: MetricsWriter | NullWriter,
) -> Iterator[Batch]:
  """Yields the batches, and traces `steps` of their steps into `folder`."""
  yield from itertools.islice(batches, _PROFILE_AFTER)
  with jax.profiler.trace(str(folder)):
    yield from itertools.islice(batches, steps)
  writer.line(
    f'wrote a trace of {steps} steps to {folder}; look with TensorBoard or '
    'ui.perfetto.dev'
  )
  yield from batches


def _evaluation_due(config: Config, step: int) -> bool:
  return step % config.evaluate_every == 0 or step == config.steps


def _lacks_scores(run: _Run, step: int) -> bool:
  """Whether the checkpoint of this step should have scores and has none."""
  if not step or not _evaluation_due(run.config, step):
    return False
  return not processes.broadcast_from_first(
    lambda: np.int32(run.checkpoints.evaluated(step)), like=np.int32(0)
  )


def _evaluate(
  run: _Run,
  state: TrainState,
  stopped: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
  """Scores the weights, or their average if the run keeps one.

  Returns:
    The scores, or None if `stopped` became true.
  """
  state = train_step.fetch(state)
  kinds = {'valid': state.variables}
  if state.ema is not None:
    kinds = {'valid_raw': state.variables, 'valid': state.ema}
  scores = {}
  try:
    for kind, variables in kinds.items():
      results = run.evaluator.run(variables, stopped=stopped)
      scores[kind] = results.summary()
  except evaluate.Interrupted:
    return None
  for kind, values in scores.items():
    run.writer.metrics(int(state.step), kind, values)
    run.writer.line(
      f'step {state.step}  validation loss {values["loss"]:.3e}  skill '
      f'{values["skill"]:.3f}  {run.task.describe(run.evaluator, values)}'
      + (' without averaging' if kind == 'valid_raw' else '')
    )
  return scores['valid']


def _save(
  run: _Run, state: TrainState, scores: dict[str, float] | None
) -> None:
  if run.checkpoints:
    run.checkpoints.save(train_step.fetch(state), scores)


def _not_finite(run: _Run, error: health.NotFinite) -> str:
  """Names the batch of the step, and the checkpoint to go on from."""
  batch_size = run.config.batch_size
  names = run.task.batch_names(
    run.data, run.config, first=(error.step - 1) * batch_size, count=batch_size
  )
  kept = 'the first process names the last good checkpoint'
  if run.checkpoints:
    last = run.checkpoints.latest()
    kept = 'there is no checkpoint yet'
    if last is not None:
      kept = f'the last good checkpoint is of step {last}'
  return (
    f'{error}; {kept}. Nothing was saved since. Try '
    'a lower config.optimizer.learning_rate in another --workdir, with '
    f'--config.init_from. The batch: {", ".join(names)}'
  )


def _out_of_memory(config: Config) -> str:
  """Names the settings that save memory without another batch size."""
  return (
    f'the devices have too little memory for config.batch_size='
    f'{config.batch_size} ({config.batch_size // jax.device_count()} people a '
    'device). These take less: --config.model.scan=True with '
    '--config.model.remat=True, --config.model.dtype=bfloat16, '
    f'--config.accumulate_steps={2 * config.accumulate_steps}.'
  )
