"""Where a photo's person is, when nobody gave a box.

Axes: C places, K joints.
"""

from collections.abc import Sequence

import numpy as np

from hg_jax.data.boxes import Box
from hg_jax.evaluation import tracking

# Of the longer side over the shorter: up to here the whole image will do.
_NEARLY_SQUARE = 1.15


def places(width: int, height: int) -> list[Box]:
  """The boxes to look at: the whole image, and three squares along its side.

  The squares have the shorter side; in a wide photo a standing person would
  be small in the square about the whole.
  """
  boxes = [(0.0, 0.0, float(width), float(height))]
  side = float(min(width, height))
  if max(width, height) > _NEARLY_SQUARE * side:
    for share in (0.0, 0.5, 1.0):
      x, y = share * (width - side), share * (height - side)
      boxes.append((x, y, side, side))
  return boxes


def choose(
  boxes: Sequence[Box],  # C, of `places`
  joints: np.ndarray,  # f[C, K, 2] px
  scores: np.ndarray,  # f[C, K]
  width: int,
  height: int,
) -> Box:
  """The box about the joints of the surest place, or that place itself."""
  best = int(scores.mean(axis=1).argmax())
  found = tracking.box_around(joints[best], scores[best], width, height)
  return found or boxes[best]
