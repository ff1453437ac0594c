"""Where a photo's person is, when nobody gave a box.

Axes: C places, K joints.
"""

from collections.abc import Sequence

import numpy as np

from hg_jax.data import images
from hg_jax.data.boxes import Box
from hg_jax.evaluation import tracking

# Of the longer side over the shorter: up to here the whole image will do.
_NEARLY_SQUARE = 1.15
_PIXELS = 2  # of the shorter side, for each of an input's
_CLOSER = 0.6  # of the shorter side; a person half as high as it is found
# Chosen on photos of MPII's training people, one in each: of those searched no
# closer for it, as many joints were found as when all are.
_SURE = 0.7


def shrink(
  picture: np.ndarray,  # u8[height, width, 3] RGB
  size: int,  # px, of the network's inputs
) -> tuple[np.ndarray, int]:  # u8[..., ..., 3], its px are so many of picture's
  """As much of a photo as the glances need: they take a tenth of the time."""
  factor = max(min(picture.shape[:2]) // (_PIXELS * size), 1)
  return (images.shrink(picture, factor) if factor > 1 else picture), factor


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


def closer_places(width: int, height: int) -> list[Box]:
  """Smaller squares all over the image, which overlap by half or more."""
  side = max(_CLOSER * min(width, height), 1.0)  # px
  columns, rows = (
    np.linspace(0, length - side, int(np.ceil(2 * (length / side - 1))) + 1)
    for length in (width, height)
  )
  return [(float(x), float(y), side, side) for y in rows for x in columns]


def sureness(
  scores: np.ndarray,  # f[..., K]
) -> np.ndarray:  # f[...]
  """The mean score of the surer half of the joints; some may be hidden."""
  joints = scores.shape[-1]
  return np.sort(scores, axis=-1)[..., joints // 2 :].mean(axis=-1)


def is_sure(
  scores: np.ndarray,  # f[1, K], of a second look
) -> bool:
  """Whether there is no need to search closer."""
  return bool(sureness(scores)[0] >= _SURE)


def choose(
  boxes: Sequence[Box],  # C
  joints: np.ndarray,  # f[C, K, 2] px
  scores: np.ndarray,  # f[C, K]
  width: int,
  height: int,
) -> Box:
  """The box about the joints of the surest place, or that place itself."""
  best = int(sureness(scores).argmax())
  found = tracking.box_around(joints[best], scores[best], width, height)
  return found or boxes[best]


def enlarge(box: Box, factor: int) -> Box:
  """A box of the photo that was shrunken by `factor`."""
  x, y, width, height = box
  return x * factor, y * factor, width * factor, height * factor
