"""What a network costs, from its shapes alone: nothing is compiled or run.

Axes: B batch, S input px, N stacks.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from hg_jax.base.config import Config
from hg_jax.model import hourglass
from hg_jax.training import optimizer, train_step

_BATCH = 7  # of the traces; no other size of a network is 7


def multiplications(config: Config, *, joints: int) -> int:
  """Multiply-accumulates of the convolutions of one image, forward."""
  model = _model(config, config.model.stacks, joints)
  forward = jax.make_jaxpr(lambda v, x: model.apply(v, x, train=False))
  program = forward(_variables(model, config), _image(config, 1))
  return count_multiplications(program.jaxpr)


def count_multiplications(jaxpr: Any) -> int:
  """Multiply-accumulates of the convolutions and products in a program."""
  count = 0
  for equation in jaxpr.eqns:
    inner = list(jax.extend.core.jaxprs_in_params(equation.params))
    if equation.primitive.name == 'cond':
      inner = inner[-1:]  # of a convolution: the plain one, not the CPU's
    count += sum(map(count_multiplications, inner))
    if equation.primitive.name in ('conv_general_dilated', 'dot_general'):
      kernel = equation.invars[1].aval.shape  # [..., inputs, outputs]
      count += equation.outvars[0].aval.size * math.prod(kernel[:-1])
  return count


def parameters(config: Config, *, joints: int) -> dict[str, int]:
  """How many there are in the stem and in the parts of each stack."""
  params = hourglass.variables_like(config, joints=joints)['params']
  counts = {'stem': _size(params['stem'])}
  for i in range(config.model.stacks):
    for part, tree in params[f'stack{i}'].items():
      counts[f'stack{i} {part}'] = _size(tree)
  return counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
  """Bytes that training takes on each device.

  Attributes:
    weights: with the batch statistics, and their moving average if any.
    gradients: of all weights.
    optimizer: its moments.
    activations: of an image, kept for the backward pass. XLA kept 0.74 to
      0.88 of this on a CPU, for 1, 2 and 8 stacks at 256 px.
  """

  weights: int
  gradients: int
  optimizer: int
  activations: int

  def of(self, batch: int, *, accumulate_steps: int = 1) -> int:
    """Bytes with so many people a device."""
    at_once = -(-batch // accumulate_steps)
    fixed = self.weights + self.gradients + self.optimizer
    return fixed + at_once * self.activations


def memory(config: Config, *, joints: int) -> Memory:
  """The memory of a run's train step."""
  variables = hourglass.variables_like(config, joints=joints)
  moments = jax.eval_shape(
    optimizer.make_optimizer(config).init, variables['params']
  )
  copies = 2 if config.ema_decay else 1
  # Stacks are alike, so two tell what each adds.
  one, two = (_activations(config, n, joints, remat=False) for n in (1, 2))
  stack, rest = two - one, 2 * one - two
  if config.model.remat:
    kept = _activations(config, 2, joints, remat=True)
    kept -= _activations(config, 1, joints, remat=True)
    # One stack at a time is computed again.
    activations = rest + config.model.stacks * kept + stack
  else:
    activations = rest + config.model.stacks * stack
  return Memory(
    weights=copies * _bytes(variables),
    gradients=_bytes(variables['params']),
    optimizer=_bytes(moments),
    activations=activations,
  )


def largest_batch(config: Config, limit: int, *, joints: int) -> int:
  """The most people a device of so many bytes can train on at a time."""
  there = memory(config, joints=joints)
  return max(limit - there.of(0), 0) // there.activations


def _activations(
  config: Config, stacks: int, joints: int, *, remat: bool
) -> int:
  """Bytes that the backward pass of an image needs of the forward pass."""
  model = _model(config, stacks, joints).clone(remat=remat)

  def backward(variables, image):
    def loss(params):
      heatmaps, _ = model.apply(
        {**variables, 'params': params},
        image,
        train=True,
        mutable=['batch_stats'],
      )
      errors = train_step.squared_error(
        heatmaps,
        jnp.zeros_like(heatmaps[:, 0]),
        jnp.ones((_BATCH, model.joints), bool),
      )
      return errors.mean()

    return jax.vjp(loss, variables['params'])[1]

  kept = jax.eval_shape(
    backward, _variables(model, config), _image(config, _BATCH)
  )
  of_images = [
    leaf.size * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(kept)
    if leaf.shape[:1] == (_BATCH,)
  ]
  return sum(of_images) // _BATCH


def _model(
  config: Config, stacks: int, joints: int
) -> hourglass.StackedHourglass:
  """The network as it is saved, outside of any `pmap`."""
  model = hourglass.create_model(config, joints=joints)
  return model.clone(stacks=stacks, scan=False, axis_name=None)


def _variables(
  model: hourglass.StackedHourglass, config: Config
) -> dict[str, Any]:
  size = config.data.image_size
  return jax.eval_shape(lambda: hourglass.create_variables(model, 0, size))


def _image(config: Config, batch: int) -> jax.ShapeDtypeStruct:
  size = config.data.image_size
  return jax.ShapeDtypeStruct((batch, size, size, 3), jnp.uint8)


def _size(tree: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _bytes(tree: Any) -> int:
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
