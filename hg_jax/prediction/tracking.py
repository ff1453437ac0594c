"""The box of a person from the joints, and from frame to frame.

Axes: K joints.
"""

import numpy as np

from hg_jax.annotations.boxes import MOST, ROOM, Box

SEEN = 0.1  # a joint's score from which it counts as found

# Of MPII's 16,992 people with all joints labeled: the person's square over the
# longer extent of the joints, in the median, and how far the square's center
# lies below theirs, in sides.
_SQUARE, _BELOW = 1.455, 0.036

# One-Euro filter (Casiez et al., CHI 2012): the cutoff of a joint at rest, Hz,
# and how much it grows with speed, Hz per (box side / s).
_REST, _GROWTH, _SPEED_CUTOFF = 1.5, 5.0, 1.0


def box_around(
  joints: np.ndarray,  # f[K, 2] px
  scores: np.ndarray,  # f[K]
  width: int,
  height: int,
) -> Box | None:
  """The box of the person with these joints; None if most are not found.

  It is square, as the network sees it, and meets the image.
  """
  found = joints[scores >= SEEN]
  if len(found) * 2 < len(joints):
    return None
  low, high = found.min(axis=0), found.max(axis=0)
  side = float((high - low).max()) * _SQUARE / ROOM
  x, y = (low + high) / 2 + [0, _BELOW * side * ROOM]
  fits = 2 <= side <= MOST * max(width, height)
  if not (fits and 0 <= x < width and 0 <= y < height):
    return None
  corner = round(float(x - side / 2), 1), round(float(y - side / 2), 1)
  return (*corner, round(side, 1), round(side, 1))


class Track:
  """A person in a video: the box follows the joints found.

  Attributes:
    box: of the next frame, px; None: it is to be searched for.
    id: the person's.
  """

  def __init__(self, box: Box | None, id: int, *, smooth: bool):
    self.box = box
    self.id = id
    self._start = box
    self._smooth = smooth
    self._time = None
    self._joints = None  # f[K, 2], smoothed
    self._speed = 0.0  # f[K, 2], px/s

  def update(
    self,
    joints: np.ndarray,  # f[K, 2] px
    scores: np.ndarray,  # f[K]
    time: float,  # s
    width: int,
    height: int,
  ) -> np.ndarray:  # f[K, 2] px
    """Moves the box to a frame's joints; returns them, smoothed if wanted.

    Where most joints are not found, the search begins again in the first box.
    """
    following = box_around(joints, scores, width, height)
    if self._smooth:
      joints = self._filter(joints, time)
    self.box = following or self._start
    if following is None:
      self._joints = None
    return joints

  def _filter(self, joints: np.ndarray, time: float) -> np.ndarray:
    if self._joints is not None and time > self._time:
      step = time - self._time
      speed = (joints - self._joints) / step
      self._speed = self._speed + _share(_SPEED_CUTOFF, step) * (
        speed - self._speed
      )
      cutoff = _REST + _GROWTH * np.abs(self._speed) / max(self.box[2:])
      joints = self._joints + _share(cutoff, step) * (joints - self._joints)
    else:
      self._speed = np.zeros_like(joints)
    self._joints, self._time = joints, time
    return joints


def _share(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
  """Of a new value in the average that passes frequencies below `cutoff`."""
  return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


def person_score(scores: np.ndarray) -> float:
  """The mean score of the joints found, 0 without any."""
  found = scores[scores >= SEEN]
  return float(found.mean()) if len(found) else 0.0
