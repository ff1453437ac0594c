"""From an image to heatmaps: what evaluation, prediction and export share.

Axes: B batch, S input px, H = S // 4 heatmap px, N stacks, K joints.
"""

from typing import Any

import jax

from hg_jax import heatmaps
from hg_jax.hourglass import StackedHourglass
from hg_jax.mpii import SKELETON


def infer(
  model: StackedHourglass,
  variables: dict[str, Any],
  image: jax.Array,  # u8[B, S, S, 3] RGB
  *,
  flip_test: bool,
) -> tuple[jax.Array, jax.Array]:  # f32[B, N, H, H, K] twice
  """The network's heatmaps, and those to decode.

  With `flip_test` the latter are the mean of the network's answer and of its
  answer to the mirrored image, mirrored back (SPEC 4.1); else they are the
  same.
  """
  plain = model.apply(variables, image, train=False)
  if not flip_test:
    return plain, plain
  mirrored = model.apply(variables, image[:, :, ::-1], train=False)
  return plain, (plain + heatmaps.mirror(mirrored, SKELETON.flip)) / 2
