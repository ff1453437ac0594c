"""One update of the weights, data-parallel over all devices.

Axes: B batch, D this process's devices, A parts that a batch is accumulated
over, S input px, H = S // 4 heatmap px, N stacks, K joints.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hg_jax.base.config import Config
from hg_jax.input import resident
from hg_jax.model import hourglass, people_maps
from hg_jax.model.hourglass import AXIS
from hg_jax.run.train_state import TrainState
from hg_jax.training.flat import Flat, flatten, unflatten

Batch = dict[str, Any]
Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Batch, np.ndarray], tuple[TrainState, Metrics]]


def create_train_state(
  config: Config, tx: optax.GradientTransformation, *, joints: int
) -> TrainState:
  """Creates the state before the first step; a function of the seed."""
  variables = hourglass.create_variables(
    hourglass.create_model(config, joints=joints),
    config.seed,
    config.data.image_size,
  )
  return create_train_state_from(config, tx, variables)


def create_train_state_from(
  config: Config, tx: optax.GradientTransformation, variables: dict[str, Any]
) -> TrainState:
  """Creates the state before the first step from these weights."""
  return TrainState(
    step=jnp.int32(0),
    variables=variables,
    opt_state=tx.init(variables['params']),
    ema=variables if config.ema_decay else None,
  )


def train_state_like(
  config: Config, tx: optax.GradientTransformation, *, joints: int
) -> TrainState:
  """Returns the shapes and dtypes of a run's state."""
  return jax.eval_shape(
    partial(create_train_state_from, config, tx),
    hourglass.variables_like(config, joints=joints),
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


# By `config.task`: each stack's loss of a batch, and the maps that say nothing.
ERRORS = {
  'joints': (
    lambda maps, batch: squared_error(maps, batch['heatmaps'], batch['known']),
    0.0,
  ),
  'people': (
    lambda maps, batch: people_maps.loss(maps, batch['heatmaps']),
    people_maps.NOBODY,
  ),
}


def make_train_step(
  config: Config,
  tx: optax.GradientTransformation,
  devices: Sequence[jax.Device],
  *,
  joints: int,
) -> Step:
  """Returns the function that makes one update, on `devices` together.

  It takes the state of `replicate`, a batch of `split`, and 'stop', bool[D],
  whether this process was asked to stop. The state's memory is used again.
  Metrics, the same on every device: 'loss'; 'stack_loss' f32[N], the squared
  error of each stack; 'zero_loss', the loss of the all-zero prediction (SPEC
  0.8); 'gradient_norm'; and 'stop', how many devices' processes were asked
  to stop.

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
    # All that is returned must be the same on every device: `out_axes=None`
    # returns the first device's without comparing.
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
      ema = update_ema(ema, variables, decay=config.ema_decay, step=state.step)
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
  """Returns the function from `Flat` variables and a batch to gradients.

  It returns them with the new batch statistics, both `Flat`, and the losses.
  """
  model = hourglass.create_model(config, joints=joints)
  reduce = {'mean': jnp.mean, 'sum': jnp.sum}[config.loss]
  errors_of, nothing = ERRORS[config.task]

  def gradients_of(variables, batch):
    def loss_of(params):
      heatmaps, updates = model.apply(
        unflatten({**variables, 'params': params}),
        batch['image'],
        train=True,
        mutable=['batch_stats'],
      )
      errors = errors_of(heatmaps, batch)
      return reduce(errors), (errors, Flat.of(updates['batch_stats']))

    (loss, (errors, batch_stats)), gradients = jax.value_and_grad(
      loss_of, has_aux=True
    )(variables['params'])
    size = batch['heatmaps'].shape[1]
    zeros = jnp.broadcast_to(
      jnp.array(nothing), (1, model.stacks, size, size, joints)
    )
    metrics = {
      'loss': loss,
      'stack_loss': errors,
      'zero_loss': reduce(errors_of(zeros, batch)),
    }
    return gradients, batch_stats, metrics

  return gradients_of


def _accumulated(config: Config, gradients_of: Callable) -> Callable:
  """Returns the same function of a batch in A parts, one after the other.

  Its gradients and losses are the parts' means. BatchNorm sees a part at a
  time, and its running statistics move A times.
  """
  parts = config.accumulate_steps
  if parts == 1:
    return gradients_of

  def accumulated(variables, batch):
    params = variables['params']
    batch = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)

    def add(carried, part):
      total, batch_stats = carried
      gradients, batch_stats, metrics = gradients_of(
        {'params': params, 'batch_stats': batch_stats}, part
      )
      total = jax.tree.map(jnp.add, total, gradients)
      return (total, batch_stats), metrics

    start = jax.tree.map(jnp.zeros_like, params), variables['batch_stats']
    (total, batch_stats), metrics = jax.lax.scan(add, start, batch)
    gradients = jax.tree.map(lambda x: x / parts, total)
    metrics = jax.tree.map(lambda x: x.mean(0), metrics)
    return gradients, batch_stats, metrics

  return accumulated


def update_ema(
  ema: dict[str, Any],
  variables: dict[str, Any],
  *,
  decay: float,
  step: jax.Array,
) -> dict[str, Any]:
  """Averages the variables into the moving average.

  Early on the decay is (1 + step) / (10 + step), as in TensorFlow's
  ExponentialMovingAverage, so that the initial weights are soon forgotten.
  """
  decay = jnp.minimum(decay, (1 + step) / (10 + step))
  return jax.tree.map(
    lambda old, new: new + decay * (old - new), ema, variables
  )


def local(devices: Sequence[jax.Device]) -> list[jax.Device]:
  """Returns the devices of this process."""
  return [d for d in devices if d.process_index == jax.process_index()]


def replicate(state: TrainState, devices: Sequence[jax.Device]) -> TrainState:
  """Puts a state, flat, on every device here, as the train step takes it.

  It has no leading axis and lies on the mesh that `pmap` returns it on;
  elsewhere the second step would compile again.
  """
  mesh = Mesh(np.array(local(devices)), (AXIS,))
  flat = flatten(jax.device_get(state))
  return jax.device_put(flat, NamedSharding(mesh, PartitionSpec()))


def fetch(state: TrainState) -> TrainState:
  """Returns the inverse of `replicate`: NumPy arrays under their names."""
  return unflatten(jax.device_get(state))


def split(batch: Batch, devices: Sequence[jax.Device]) -> Batch:
  """Gives each array a leading axis of this process's devices."""
  count = len(local(devices))
  return {
    name: array.reshape(count, -1, *array.shape[1:])
    for name, array in batch.items()
  }
