"""The train step, data-parallel over this machine's devices, and the loop.

Axes: B batch, S input px, H = S // 4 heatmap px, N stacks, K joints.
"""

import collections
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hg_jax import (
  checkpoint,
  evaluate,
  hourglass,
  optimizer,
  records,
  resident,
)
from hg_jax.command import UserError
from hg_jax.config import Config
from hg_jax.hourglass import AXIS
from hg_jax.train_state import TrainState
from hg_jax.writer import Writer

Batch = dict[str, np.ndarray]
Metrics = dict[str, jax.Array]


def create_train_state(
  config: Config, tx: optax.GradientTransformation
) -> TrainState:
  """The state before the first step; a function of the config's seed."""
  variables = hourglass.create_variables(
    hourglass.create_model(config), config.seed, config.data.image_size
  )
  return TrainState(
    step=jnp.int32(0),
    variables=variables,
    opt_state=tx.init(variables['params']),
  )


def squared_error(
  heatmaps: jax.Array,  # f32[B, N, H, H, K]
  targets: jax.Array,  # f32[B, H, H, K]
) -> jax.Array:  # f32[N]
  """Each stack's mean over people, joints and pixels."""
  return jnp.square(heatmaps - targets[:, None]).mean(axis=(0, 2, 3, 4))


def make_train_step(
  model: hourglass.StackedHourglass,
  tx: optax.GradientTransformation,
  loss: str,
  devices: Sequence[jax.Device],
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Returns the function that makes one update, on `devices` together.

  It takes the state as `replicate` and the batch as `split` give them, and
  gives the state up: its memory is used again. The loss is 'mean' or 'sum',
  as in the config. Metrics: 'loss', and 'zero_loss', that of the all-zero
  prediction (SPEC 0.8).
  """
  reduce = {'mean': jnp.mean, 'sum': jnp.sum}[loss]

  def train_step(state, batch):
    def loss_of(params):
      variables = {**state.variables, 'params': params}
      heatmaps, updates = model.apply(
        variables, batch['image'], train=True, mutable=['batch_stats']
      )
      return reduce(squared_error(heatmaps, batch['heatmaps'])), updates

    params = state.variables['params']
    (value, updates), gradients = jax.value_and_grad(loss_of, has_aux=True)(
      params
    )
    zeros = jnp.zeros((1, model.stacks, 1, 1, 1))
    metrics = {
      'loss': value,
      'zero_loss': reduce(squared_error(zeros, batch['heatmaps'])),
    }
    # All that leaves must be the same on every device: `out_axes=None` takes
    # the first device's word for it.
    gradients, updates, metrics = jax.lax.pmean(
      (gradients, updates, metrics), AXIS
    )
    steps, opt_state = tx.update(gradients, state.opt_state, params)
    variables = {'params': optax.apply_updates(params, steps), **updates}
    state = TrainState(
      step=state.step + 1, variables=variables, opt_state=opt_state
    )
    return state, metrics

  return jax.pmap(
    train_step,
    axis_name=AXIS,
    in_axes=(None, 0),
    out_axes=None,
    donate_argnums=0,
    devices=devices,
  )


def replicate(state: TrainState, devices: Sequence[jax.Device]) -> TrainState:
  """Puts the state on every device, without a leading axis.

  On the mesh that `pmap` returns it on; elsewhere the second step would
  compile again.
  """
  mesh = Mesh(np.array(devices), (AXIS,))
  return jax.device_put(state, NamedSharding(mesh, PartitionSpec()))


def split(batch: Batch, devices: Sequence[jax.Device]) -> Batch:
  """Gives each array a leading axis of devices."""
  return {
    name: array.reshape(len(devices), -1, *array.shape[1:])
    for name, array in batch.items()
  }


def train_batches(
  crops: records.Crops,
  config: Config,
  start: int,
  devices: Sequence[jax.Device],
) -> Iterator[Batch]:
  """The batches from step `start` on, split, made where the config says."""
  share = {
    'start': start,
    'process': jax.process_index(),
    'processes': jax.process_count(),
  }
  if config.data.resident:
    stored = resident.store(crops, devices)
    return resident.train_batches(stored, crops, config, **share)
  from hg_jax import input_pipeline  # TensorFlow

  batches = input_pipeline.train_batches(crops, config, **share)
  return (split(batch, devices) for batch in batches)


def check_devices(config: Config) -> None:
  """Refuses a batch that the devices cannot share equally."""
  devices = jax.device_count()
  if config.batch_size % devices:
    fitting = max(config.batch_size // devices, 1) * devices
    raise UserError(
      f'config.batch_size is {config.batch_size}, which {devices} devices '
      f'cannot share equally; try {fitting}.'
    )


def train_and_evaluate(config: Config, workdir: Path) -> None:
  """Trains to `config.steps`, from the last checkpoint if there is one.

  Raises:
    UserError: the config, the data or the workdir cannot be used.
  """
  check_devices(config)
  train_crops, valid_crops = (
    records.read(
      Path(config.data.dir), split, skip_corrupt=config.data.skip_corrupt
    )
    for split in ('train', 'valid')
  )
  tx = optimizer.make_optimizer(config.optimizer)
  state = create_train_state(config, tx)
  checkpoints = checkpoint.Checkpoints(workdir)
  if (step := checkpoints.latest()) is not None:
    state = checkpoints.restore(step, state)
  start = int(state.step)
  writer = Writer(workdir, step=start, steps=config.steps)
  writer.line(_describe(config, len(train_crops), len(valid_crops), start))
  for line in (*train_crops.skipped, *valid_crops.skipped):
    writer.line(f'skipping {line}')
  model = hourglass.create_model(config)
  devices = jax.local_devices()
  train_step = make_train_step(model, tx, config.loss, devices)
  evaluator = evaluate.Evaluator(model, config, valid_crops)
  batches = train_batches(train_crops, config, start, devices)
  state = replicate(state, devices)
  log = _Log(writer, config, start)
  for step, batch in enumerate(log.timed(batches), start + 1):
    state, metrics = train_step(state, batch)
    log.add(step, metrics)
    scores = None
    if step % config.evaluate_every == 0 or step == config.steps:
      scores = evaluator.run(state.variables).summary()
      writer.metrics(step, 'valid', scores)
      writer.line(_valid_line(step, scores))
      log.restart()
    if scores or step % config.checkpoint_every == 0:
      checkpoints.save(state, scores)
  checkpoints.close()
  writer.close()


def _describe(config: Config, train: int, valid: int, start: int) -> str:
  begin = f'resuming at step {start}' if start else 'starting'
  return (
    f'{begin}: {config.model.stacks} stacks, {train} training and {valid} '
    f'validation people, batch {config.batch_size} on '
    f'{jax.device_count()} {jax.devices()[0].platform} devices, '
    f'{config.steps * config.batch_size / train:.1f} epochs'
  )


def _valid_line(step: int, scores: dict[str, float]) -> str:
  return (
    f'step {step}  validation loss {scores["loss"]:.3e}  skill '
    f'{scores["skill"]:.3f}  PCKh@0.5 {scores["all_joints"]:.2f} (all '
    f'joints) {scores["standard"]:.2f} (standard)'
  )


class _Log:
  """A line and a record every `config.log_every` steps."""

  def __init__(self, writer: Writer, config: Config, start: int):
    self._writer = writer
    self._config = config
    self._schedule = optimizer.make_schedule(config.optimizer)
    self._metrics = collections.deque()
    self._step = start
    self.restart()

  def restart(self) -> None:
    """Begins a new stretch of time, so that an evaluation is not in it."""
    self._began = time.perf_counter()
    self._began_step = self._step
    self._waited = 0.0

  def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches; notes the time spent waiting for each."""
    while True:
      before = time.perf_counter()
      try:
        batch = next(batches)
      except StopIteration:
        return
      self._waited += time.perf_counter() - before
      yield batch

  def add(self, step: int, metrics: Metrics) -> None:
    self._writer.progress()
    self._step = step
    self._metrics.append(metrics)
    if step % self._config.log_every == 0 or step == self._config.steps:
      self._report(step)

  def _report(self, step: int) -> None:
    metrics = jax.device_get(list(self._metrics))  # waits for the devices
    self._metrics.clear()
    seconds = time.perf_counter() - self._began
    steps = max(step - self._began_step, 1)
    loss, zero_loss = (
      float(np.mean([m[name] for m in metrics]))
      for name in ('loss', 'zero_loss')
    )
    values = {
      'loss': loss,
      'skill': 1 - loss / zero_loss,
      'learning_rate': float(self._schedule(step - 1)),
      'images_per_second': steps * self._config.batch_size / seconds,
      'waiting_for_data': self._waited / seconds,
    }
    self._writer.metrics(step, 'train', values)
    left = (self._config.steps - step) * seconds / steps
    self._writer.line(
      f'step {step}  loss {loss:.3e}  skill {values["skill"]:.3f}  '
      f'learning rate {values["learning_rate"]:.2e}  '
      f'{values["images_per_second"]:.1f} images/s  '
      f'{100 * values["waiting_for_data"]:.0f} % waiting for data  '
      f'{_duration(left)} left'
    )
    self.restart()


def _duration(seconds: float) -> str:
  hours, seconds = divmod(int(seconds), 3600)
  return f'{hours}:{seconds // 60:02}:{seconds % 60:02}'
