"""The layers of the network: convolution, BatchNorm, pooling, upsampling.

Axes: B batch, H and W px, C channels; all arrays are NHWC.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class Conv(nn.Module):
  """A convolution with PyTorch's padding and initial values.

  Kernel and bias are drawn from U(-b, b) with b = 1 / sqrt(inputs per output),
  as in Torch7 and PyTorch (SPEC 1.3).
  """

  features: int
  size: int  # px, odd
  stride: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:  # of [B, H, W, C]
    shape = (self.size, self.size, x.shape[-1], self.features)
    initializer = partial(
      jax.random.uniform, minval=-bound(shape), maxval=bound(shape)
    )
    kernel = self.param('kernel', initializer, shape)
    bias = self.param('bias', initializer, shape[-1:])
    x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
    return self._convolve(x, kernel) + bias.reshape(1, 1, 1, -1)

  def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if self.size == 1:
      # XLA's CPU convolution takes 2 to 5 times as long (PERFORMANCE A3), and
      # a product of more than two dimensions a tenth more.
      pixels = x.reshape(-1, x.shape[-1]) @ kernel[0, 0]
      return pixels.reshape(*x.shape[:-1], -1)
    strides = (self.stride, self.stride)
    # 'SAME' would pad by (2, 3) where PyTorch pads by (3, 3).
    padding = [(self.size // 2, self.size // 2)] * 2
    convolve = partial(
      jax.lax.conv_general_dilated,
      window_strides=strides,
      padding=padding,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    if self.size == 3 and self.stride == 1 and _worth_winograd(x):
      return jax.lax.platform_dependent(
        x, kernel, cpu=winograd, default=convolve
      )
    return convolve(x, kernel)


def bound(kernel_shape: tuple[int, ...]) -> float:
  """Returns the largest initial value of a convolution of this shape."""
  return math.prod(kernel_shape[:-1]) ** -0.5


def _worth_winograd(x: jax.Array) -> bool:
  """Whether Winograd's algorithm applies, is accurate and saves time."""
  _, height, width, channels = x.shape
  return (
    x.dtype == jnp.float32
    and height % 4 == width % 4 == 0
    and min(height, width) >= 16
    and channels >= 32
  )


# The matrices of F(4 x 4, 3 x 3) in Lavin and Gray, Fast Algorithms for
# Convolutional Neural Networks (2015), section 4.3.
_INPUT = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1],
]
_KERNEL = [
  [1 / 4, 0, 0],
  [-1 / 6, -1 / 6, -1 / 6],
  [-1 / 6, 1 / 6, -1 / 6],
  [1 / 24, 1 / 12, 1 / 6],
  [1 / 24, -1 / 12, 1 / 6],
  [0, 0, 1],
]
_OUTPUT = [
  [1, 1, 1, 1, 1, 0],
  [0, 1, -1, 2, -2, 0],
  [0, 1, 1, 4, 4, 0],
  [0, 1, -1, 8, -8, 1],
]


def winograd(
  x: jax.Array,  # f32[B, H, W, C], H and W multiples of 4
  kernel: jax.Array,  # f32[3, 3, C, D]
) -> jax.Array:  # f32[B, H, W, D]
  """Convolves by 3 x 3, padded by 1, with a quarter of the multiplications.

  Each tile of 6 x 6 px, which overlaps the next by 2, gives 4 x 4 px. The 36
  numbers of a tile are mixed, multiplied by the mixed kernel in 36 matrix
  products, and mixed back. On two CPU cores the train step takes half the time
  (PERFORMANCE E). Errors are about ten times those of a plain convolution in
  float32.
  """
  b, h, w, c = x.shape
  x = jnp.pad(x, ((0, 0), (1, 3), (1, 3), (0, 0)))
  # Not slices: the gradient of a split is one concatenation.
  rows = _split(x.reshape(b, h // 4 + 1, 4, w + 4, c), axis=2)
  rows = [r[:, :-1] for r in rows] + [r[:, 1:] for r in rows[:2]]
  x = _mix(_INPUT, rows, axis=0)
  columns = _split(x.reshape(6, b, h // 4, w // 4 + 1, 4, c), axis=4)
  columns = [q[..., :-1, :] for q in columns] + [
    q[..., 1:, :] for q in columns[:2]
  ]
  x = _mix(_INPUT, columns, axis=1)
  spread = np.kron(_KERNEL, _KERNEL).astype(kernel.dtype)
  kernel = (spread @ kernel.reshape(9, -1)).reshape(36, c, -1)
  y = (x.reshape(36, -1, c) @ kernel).reshape(6, 6, b, h // 4, w // 4, -1)
  y = _mix(_OUTPUT, _split(y, axis=0), axis=3)  # [6, b, h / 4, 4, w / 4, D]
  y = _mix(_OUTPUT, _split(y, axis=0), axis=4)  # [b, h / 4, 4, w / 4, 4, D]
  return y.reshape(b, h, w, -1)


def _split(x: jax.Array, axis: int) -> list[jax.Array]:
  parts = jax.lax.split(x, [1] * x.shape[axis], axis)
  return [part.squeeze(axis) for part in parts]


def _mix(
  matrix: list[list[float]], parts: list[jax.Array], axis: int
) -> jax.Array:
  """Returns the matrix times the parts, stacked along a new axis."""
  rows = [
    sum(
      weight * part for weight, part in zip(row, parts, strict=True) if weight
    )
    for row in matrix
  ]
  return jnp.stack(rows, axis)


class BatchNorm(nn.Module):
  """Normalizes each channel, as Flax's and PyTorch's BatchNorm do.

  It computes `x * a + c`, while Flax subtracts the mean first; PERFORMANCE E
  has the gain. Gamma starts at 1 and beta at 0. In Torch7, and in the PyTorch
  of 2018, which the report used, gamma started at U(0, 1) (SPEC 1.3).

  Attributes:
    train: whether to use the batch's statistics and update the running ones,
      or to use the running ones.
    dtype: the type of the result; statistics have at least float32.
    axis_name: the `pmap` axis over which statistics are averaged. None: each
      device has its own.
  """

  train: bool
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:  # both [B, H, W, C]
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    running = {
      'mean': self.variable('batch_stats', 'mean', jnp.zeros, shape),
      'var': self.variable('batch_stats', 'var', jnp.ones, shape),
    }
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if self.train:
      moments = jnp.stack([x.mean((0, 1, 2)), jnp.square(x).mean((0, 1, 2))])
      if self.axis_name and not self.is_initializing():
        moments = jax.lax.pmean(moments, self.axis_name)
      mean, square = moments
      var = jnp.maximum(square - jnp.square(mean), 0)  # < 0 by rounding
      if not self.is_initializing():
        for name, new in (('mean', mean), ('var', var)):
          # PyTorch's momentum, 0.1, is the weight of the new value.
          running[name].value = 0.9 * running[name].value + 0.1 * new
    else:
      mean, var = running['mean'].value, running['var'].value
    factor = scale * jax.lax.rsqrt(var + 1e-5)
    return (x * factor + (bias - mean * factor)).astype(self.dtype)


def max_pool(
  x: jax.Array,  # [B, H, W, C]
) -> jax.Array:  # [B, H / 2, W / 2, C]
  """Takes the maximum of each 2 x 2 square.

  Equal maxima share the gradient; `nn.max_pool` gives it to one of them, and
  is slower (PERFORMANCE A3).
  """
  if x.dtype == jnp.bfloat16:
    # On a CPU, XLA of jax 0.11 and 0.12 fuses this maximum with the products
    # before it (YNNPACK), which gives NaN in bfloat16.
    x = jax.lax.platform_dependent(
      x, cpu=jax.lax.optimization_barrier, default=lambda x: x
    )
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def upsample(
  x: jax.Array,  # [B, H, W, C]
) -> jax.Array:  # [B, 2 H, 2 W, C]
  """Repeats each pixel as a 2 x 2 square."""
  return x.repeat(2, axis=1).repeat(2, axis=2)
