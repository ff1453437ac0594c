"""The stacked hourglass network, in Flax linen, NHWC.

It computes the same as pose-hg-train's `src/models/hg.lua` and as
pytorch_stacked_hourglass's `models/posenet.py`, which agree exactly (SPEC
1.1). `convert` exchanges weights with the latter.

Axes: B batch, S input side px, H = S // 4 heatmap side, N stacks, K joints,
C channels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hg_jax.base.config import Config
from hg_jax.model import layers

AXIS = 'batch'  # of the `pmap` that trains, over devices
DEPTH = 4  # halvings within an hourglass
# The input's side must be a multiple: 4 to the heatmap, 16 within it.
INPUT_MULTIPLE = 4 * 2**DEPTH


class Residual(nn.Module):
  """A pre-activation bottleneck: x + convolutions 1x1, 3x3, 1x1 of x."""

  features: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:  # [B, H, W, features]
    half = self.features // 2
    y = x
    for i, (features, size) in enumerate(
      ((half, 1), (half, 3), (self.features, 1)), start=1
    ):
      y = nn.relu(self.norm(name=f'norm{i}')(y))
      y = self.conv(features, size, name=f'conv{i}')(y)
    if x.shape[-1] != self.features:
      x = self.conv(self.features, 1, name='skip')(x)
    return x + y


class Hourglass(nn.Module):
  """Sums a branch at full size and a branch that goes through half of it."""

  depth: int  # how many times the size is halved
  features: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:  # both [B, H, W, features]
    block = {'features': self.features, 'conv': self.conv, 'norm': self.norm}
    up = Residual(**block, name='up1')(x)
    low = Residual(**block, name='low1')(layers.max_pool(x))
    if self.depth > 1:
      low = Hourglass(self.depth - 1, **block, name='low2')(low)
    else:
      low = Residual(**block, name='low2')(low)
    low = Residual(**block, name='low3')(low)
    return up + layers.upsample(low)


class Stem(nn.Module):
  """Reduces the image to a quarter of its size, for the first hourglass.

  With 256 features the widths are the original's, 64 and 128. They scale with
  the features, so that a small network has a small stem.
  """

  features: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:  # [B, H, H, features]
    block = {'conv': self.conv, 'norm': self.norm}
    half = self.features // 2
    x = self.conv(half // 2, 7, stride=2, name='conv')(x)
    x = nn.relu(self.norm(name='norm')(x))
    x = Residual(half, **block, name='residual1')(x)
    x = layers.max_pool(x)
    x = Residual(half, **block, name='residual2')(x)
    return Residual(self.features, **block, name='residual3')(x)


class Stack(nn.Module):
  """One hourglass, its heatmaps, and the input of the next stack.

  Attributes:
    remap: whether to add the features and the heatmaps to the input, for the
      next stack. The last stack has no weights for this.
  """

  joints: int
  features: int
  remap: bool
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(
    self,
    x: jax.Array,  # [B, H, H, features]
  ) -> tuple[jax.Array, jax.Array]:  # the next stack's x, f32[B, H, H, K]
    block = {'features': self.features, 'conv': self.conv, 'norm': self.norm}
    y = Hourglass(DEPTH, **block, name='hourglass')(x)
    y = Residual(**block, name='residual')(y)
    y = self.conv(self.features, 1, name='conv')(y)
    y = nn.relu(self.norm(name='norm')(y))
    # In bfloat16 neighboring pixels would often be equal (SPEC 7.25).
    dtype = jnp.promote_types(y.dtype, jnp.float32)
    heatmaps = self.conv(self.joints, 1, dtype=dtype, name='heatmaps')(y)
    if self.remap:
      x = (
        x
        + self.conv(self.features, 1, name='remap_features')(y)
        + self.conv(self.features, 1, name='remap_heatmaps')(heatmaps)
      )
    return x, heatmaps


class StackedHourglass(nn.Module):
  """Finds the joints of the person in the middle of the image, as heatmaps.

  Attributes:
    stacks: N. All stacks' heatmaps are trained; the last are the prediction.
    joints: K.
    features: C of the hourglasses, a multiple of 4: the stem begins with C / 4.
    dtype: the type to compute in. Parameters, batch statistics and heatmaps
      are always float32.
    axis_name: the `pmap` axis over which batch statistics are averaged in
      training. None: each device has its own.
    remat: in training, compute each stack again in the backward pass.
    scan: in training, run the stacks as a loop over stacked weights. Neither
      changes what is computed.
  """

  stacks: int
  joints: int
  features: int = 256
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False
  scan: bool = False

  @nn.compact
  def __call__(
    self,
    image: jax.Array,  # u8[B, S, S, 3], or f32 in [0, 1]; RGB
    *,
    train: bool,
  ) -> jax.Array:  # f32[B, N, H, H, K]
    """Runs the network.

    With `train`, BatchNorm uses the batch's statistics and updates the running
    ones, so 'batch_stats' must be mutable. Without, it uses the running ones.

    Raises:
      ValueError: S is not a multiple of INPUT_MULTIPLE.
    """
    if image.shape[1] % INPUT_MULTIPLE or image.shape[2] % INPUT_MULTIPLE:
      raise ValueError(
        f'Images are {image.shape[1]} x {image.shape[2]} px; both must be '
        f'multiples of {INPUT_MULTIPLE}.'
      )
    dtype = jnp.dtype(self.dtype)
    norm = partial(
      layers.BatchNorm, train=train, dtype=dtype, axis_name=self.axis_name
    )
    block = {
      'features': self.features,
      'conv': partial(layers.Conv, dtype=dtype),
      'norm': norm,
    }
    x = Stem(**block, name='stem')(_normalize(image))
    if train and self.scan and not self.is_initializing():
      return self._scan_stacks(x, block)
    stack = nn.remat(Stack) if train and self.remat else Stack
    heatmaps = []
    for i in range(self.stacks):
      remap = i + 1 < self.stacks
      x, y = stack(self.joints, remap=remap, **block, name=f'stack{i}')(x)
      heatmaps.append(y)
    return jnp.stack(heatmaps, axis=1)

  def _scan_stacks(
    self,
    x: jax.Array,  # [B, H, H, features]
    block: dict[str, Any],
  ) -> jax.Array:  # f32[B, N, H, H, K]
    """Runs the stacks in training as a loop, so that XLA compiles one.

    Here the last stack has remap weights too. They are 0 and have no effect.
    """
    names = [f'stack{i}' for i in range(self.stacks)]
    remap = self.stacks > 1
    stack = Stack(self.joints, remap=remap, **block, parent=None)

    def body(x, variables):
      (x, heatmaps), updates = stack.apply(
        variables, x, mutable=['batch_stats']
      )
      return x, (heatmaps, updates['batch_stats'])

    if self.remat:
      # A loop's body is compiled alone, so nothing can be merged with it.
      body = jax.checkpoint(body, prevent_cse=False)

    def stacked(variables):
      stacks = [variables[name] for name in names]
      zeros = jax.tree.map(jnp.zeros_like, stacks[0])
      stacks[-1] = {**zeros, **stacks[-1]}
      return jax.tree.map(lambda *x: jnp.stack(x), *stacks)

    weights = {
      collection: stacked(self.variables[collection])
      for collection in ('params', 'batch_stats')
    }
    _, (heatmaps, statistics) = jax.lax.scan(body, x, weights)
    for i, name in enumerate(names):
      part = jax.tree.map(lambda x, i=i: x[i], statistics)
      self.put_variable('batch_stats', name, part)
    return heatmaps.swapaxes(0, 1)


def _normalize(image: jax.Array) -> jax.Array:
  """Scales bytes, which travel to the device 4 times faster, to [0, 1]."""
  if image.dtype == jnp.uint8:
    return image.astype(jnp.float32) / 255
  return image


def create_model(config: Config, *, joints: int) -> StackedHourglass:
  """Creates the network of a run, for this number of joints."""
  return StackedHourglass(
    stacks=config.model.stacks,
    joints=joints,
    features=config.model.features,
    dtype=config.model.dtype,
    axis_name=AXIS if config.model.sync_batch_norm else None,
    remat=config.model.remat,
    scan=config.model.scan,
  )


def create_variables(
  model: StackedHourglass, seed: int, image_size: int
) -> dict[str, Any]:  # {'params', 'batch_stats'} of f32 NumPy arrays
  """Draws initial weights from the same distributions as `model.init`.

  NumPy draws them, so they are the same on any device, and without delay: XLA
  takes a minute or more to compile the draws of eight stacks.
  """
  shapes = _shapes(model, image_size)
  return _draw(shapes, np.random.default_rng(seed))


def variables_like(config: Config, *, joints: int) -> dict[str, Any]:
  """Returns the shapes and dtypes of a run's weights."""
  model = create_model(config, joints=joints)
  return _shapes(model, config.data.image_size)


def _shapes(model: StackedHourglass, image_size: int) -> dict[str, Any]:
  image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  init = partial(model.init, train=False)
  return jax.eval_shape(init, jax.random.key(0), image)


def _draw(shapes: dict[str, Any], generator: np.random.Generator):
  values = {}
  for name, leaf in sorted(shapes.items()):
    if isinstance(leaf, dict):
      values[name] = _draw(leaf, generator)
    elif 'kernel' in shapes:  # a Conv's kernel or bias
      values[name] = generator.uniform(-1, 1, leaf.shape).astype(leaf.dtype)
      values[name] *= layers.bound(shapes['kernel'].shape)
    else:  # BatchNorm's scale and variance, bias and mean
      start = np.ones if name in ('scale', 'var') else np.zeros
      values[name] = start(leaf.shape, leaf.dtype)
  return values
