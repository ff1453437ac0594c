"""Where a photo's person is, when nobody gave a box.

Axes: C places, K joints.
"""

from collections.abc import Generator, Sequence

import numpy as np

from hg_jax.annotations.boxes import Box, square
from hg_jax.input import crops as cropping
from hg_jax.prediction import tracking

# Of the longer side over the shorter: up to here the whole image will do.
_NEARLY_SQUARE = 1.15
_PIXELS = 2  # of the shorter side, for each of an input's
_CLOSER = 0.6  # of the shorter side; a person half as high as it is found
# Chosen on photos of MPII's training people, one in each: of those searched no
# closer for it, as many joints were found as when all are.
_SURE = 0.7


class Search:
  """The search in one photo, which says where to look until it has a box.

  A second look moves the box; where it is not sure of the person, smaller
  places are looked at, too.

  Attributes:
    places: where to look next, px of a picture of the photo as small as
      glances need.
    box: px of the photo, when the search is over; None before.
  """

  def __init__(
    self,
    photo: np.ndarray,  # u8[..., ..., 3] RGB
    size: int,  # px, of the network's inputs
    *,
    closer: bool = True,  # look at smaller places, if need be
  ):
    self._factor = max(min(photo.shape[:2]) // (_PIXELS * size), 1)
    self._closer = closer
    self._size = size
    self._picture = cropping.shrink(photo, self._factor)
    self._height, self._width = self._picture.shape[:2]
    self._steps = self._search()
    self.places: list[Box] = next(self._steps)
    self.box: Box | None = None

  def look(self) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees at `places`, and the maps from that to there.

    Returns:
      u8[C, S, S, 3] RGB and f64[C, 3, 3].
    """
    seen = [
      cropping.glance_at(
        self._picture, *square(place, self._width, self._height), self._size
      )
      for place in self.places
    ]
    inputs, maps = zip(*seen, strict=True)
    return np.stack(inputs), np.linalg.inv(np.stack(maps))

  def tell(
    self,
    joints: np.ndarray,  # f[C, K, 2] px of the small picture
    scores: np.ndarray,  # f[C, K]
  ) -> None:
    """Takes what a glance found at `places`."""
    try:
      self.places = self._steps.send((joints, scores))
    except StopIteration as end:
      self.box = tuple(self._factor * length for length in end.value)

  def _search(self) -> Generator[list[Box], tuple[np.ndarray, np.ndarray], Box]:
    size = self._width, self._height
    boxes = places(*size)
    found = yield boxes
    boxes = [choose(boxes, *found, *size)]
    found = yield boxes
    _, scores = found
    if self._closer and sureness(scores[0]) < _SURE:
      boxes = [*boxes, *closer_places(*size)]
      found = yield boxes
    return choose(boxes, *found, *size)


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
