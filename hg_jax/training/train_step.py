"""One update of the weights, data-parallel over all devices.

Axes: B batch, D this process's devices, A parts that a batch is accumulated
over, S input px, H = S // 4 heatmap px, N stacks, K joints.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hg_jax.base.config import Config
from hg_jax.data import resident
from hg_jax.model import hourglass, joining
from hg_jax.model.hourglass import AXIS
from hg_jax.run.train_state import TrainState

Batch = dict[str, Any]
Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Batch, np.ndarray], tuple[TrainState, Metrics]]


def create_train_state(
  config: Config, tx: optax.GradientTransformation, *, joints: int
) -> TrainState:
  """The state before the first step; a function of the config's seed."""
  variables = hourglass.create_variables(
    hourglass.create_model(config, joints=joints),
    config.seed,
    config.data.image_size,
  )
  return begin(config, tx, variables)


def begin(
  config: Config, tx: optax.GradientTransformation, variables: dict[str, Any]
) -> TrainState:
  """The state before the first step from these weights."""
  return TrainState(
    step=jnp.int32(0),
    variables=variables,
    opt_state=tx.init(variables['params']),
    # Not the same arrays: the step gives up the memory of each.
    ema=jax.tree.map(np.copy, variables) if config.ema_decay else None,
  )


def squared_error(
  heatmaps: jax.Array,  # f32[B, N, H, H, K]
  targets: jax.Array,  # f32[B, H, H, K]
  known: jax.Array,  # bool[B, K]
) -> jax.Array:  # f32[N]
  """Returns each stack's mean over people, joints and pixels.

  Joints that are not known add nothing to the sum, and count.
  """
  known = known[:, None, None, None].astype(targets.dtype)
  errors = jnp.square(heatmaps - targets[:, None]) * known
  return errors.mean(axis=(0, 2, 3, 4))


def make_train_step(
  config: Config,
  tx: optax.GradientTransformation,
  devices: Sequence[jax.Device],
  *,
  joints: int,
) -> Step:
  """Returns the function that makes one update, on `devices` together.

  It takes the state as `replicate` and the batch as `split` give them, and
  'stop', bool[D], whether this process was asked to. It gives the state up:
  its memory is used again. Metrics, the same on every device: 'loss';
  'stack_loss' f32[N], the squared error of each stack; 'zero_loss', the loss
  of the all-zero prediction (SPEC 0.8); 'gradient_norm'; and 'stop', how
  many devices' processes were asked to.

  Args:
    config: the run's; with `data.resident` the batch is that of
      `train.train_batches`, and the inputs are made within the step.
    tx: the optimizer.
    devices: all that share the batch, of all processes.
    joints: K.
  """
  gradients_of = _accumulated(config, _make_gradients(config, joints))
  make_inputs = resident.make_inputs(config) if config.data.resident else None

  def train_step(state, batch, stop):
    if make_inputs:
      batch = make_inputs(batch['stored'], batch['recipe'])
    # All that leaves must be the same on every device: `out_axes=None` takes
    # the first device's word for it.
    gradients, batch_stats, metrics = jax.lax.pmean(
      gradients_of(state.variables, batch), AXIS
    )
    metrics['gradient_norm'] = optax.tree.norm(gradients)
    metrics['stop'] = jax.lax.psum(stop.astype(jnp.int32), AXIS)
    params = state.variables['params']
    steps, opt_state = tx.update(gradients, state.opt_state, params)
    variables = {
      'params': optax.apply_updates(params, steps),
      'batch_stats': batch_stats,
    }
    ema = state.ema
    if config.ema_decay:
      ema = moved(ema, variables, decay=config.ema_decay, step=state.step)
    state = TrainState(
      step=state.step + 1, variables=variables, opt_state=opt_state, ema=ema
    )
    return state, metrics

  batch_axes = {'stored': None, 'recipe': 0} if make_inputs else 0
  return jax.pmap(
    train_step,
    axis_name=AXIS,
    in_axes=(None, batch_axes, 0),
    out_axes=None,
    donate_argnums=0,
    devices=devices,
  )


def _make_gradients(config: Config, joints: int) -> Callable:
  """Makes the function from weights and a batch to gradients.

  It returns them with the new batch statistics and the losses.
  """
  model = hourglass.create_model(config, joints=joints)
  reduce = {'mean': jnp.mean, 'sum': jnp.sum}[config.loss]

  def gradients_of(variables, batch):
    def loss_of(params):
      heatmaps, updates = model.apply(
        {**variables, 'params': params},
        batch['image'],
        train=True,
        mutable=['batch_stats'],
      )
      errors = squared_error(heatmaps, batch['heatmaps'], batch['known'])
      return reduce(errors), (errors, updates['batch_stats'])

    (loss, (errors, batch_stats)), gradients = jax.value_and_grad(
      loss_of, has_aux=True
    )(variables['params'])
    zeros = jnp.zeros((1, model.stacks, 1, 1, 1))
    metrics = {
      'loss': loss,
      'stack_loss': errors,
      'zero_loss': reduce(
        squared_error(zeros, batch['heatmaps'], batch['known'])
      ),
    }
    return gradients, batch_stats, metrics

  return gradients_of


def _accumulated(config: Config, gradients_of: Callable) -> Callable:
  """The same of a batch in A parts, one after the other.

  The gradients and losses are their means. BatchNorm sees a part at a time,
  and its running statistics move A times.
  """
  parts = config.accumulate_steps
  if parts == 1:
    return gradients_of

  def one(variables, part):
    gradients, batch_stats, metrics = gradients_of(variables, part)
    return {**variables, 'batch_stats': batch_stats}, (gradients, metrics)

  def accumulated(variables, batch):
    batch = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)

    def add(carried, part):
      variables, total = carried
      variables, new = one(variables, part)
      return (variables, jax.tree.map(jnp.add, total, new)), None

    first = jax.tree.map(lambda x: x[0], batch)
    rest = jax.tree.map(lambda x: x[1:], batch)
    (variables, total), _ = jax.lax.scan(add, one(variables, first), rest)
    gradients, metrics = jax.tree.map(lambda x: x / parts, total)
    return gradients, variables['batch_stats'], metrics

  return accumulated


def moved(
  ema: dict[str, Any],
  variables: dict[str, Any],
  *,
  decay: float,
  step: jax.Array,
) -> dict[str, Any]:
  """The moving average after one more update.

  Early on the decay is (1 + step) / (10 + step), as in TensorFlow's
  ExponentialMovingAverage, so that the initial weights are soon forgotten.
  """
  decay = jnp.minimum(decay, (1 + step) / (10 + step))
  return jax.tree.map(
    lambda old, new: new + decay * (old - new), ema, variables
  )


def local(devices: Sequence[jax.Device]) -> list[jax.Device]:
  """Those of this process."""
  return [d for d in devices if d.process_index == jax.process_index()]


def replicate(
  config: Config, state: TrainState, devices: Sequence[jax.Device]
) -> TrainState:
  """Puts a state on every device here, as the train step takes it.

  That is without a leading axis, on the mesh that `pmap` returns it on;
  elsewhere the second step would compile again.
  """
  mesh = Mesh(np.array(local(devices)), (AXIS,))
  if config.model.scan:
    state = joining.join(state)
  return jax.device_put(state, NamedSharding(mesh, PartitionSpec()))


def fetch(state: TrainState) -> TrainState:
  """The inverse of `replicate`: NumPy arrays, as they are saved."""
  return joining.unjoin(jax.device_get(state))


def split(batch: Batch, devices: Sequence[jax.Device]) -> Batch:
  """Gives each array a leading axis of this process's devices."""
  count = len(local(devices))
  return {
    name: array.reshape(count, -1, *array.shape[1:])
    for name, array in batch.items()
  }
