"""People from frame to frame, and the boxes about their joints.

Axes: P people, K joints.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from hg_jax.annotations.boxes import MOST, ROOM, Box, Person
from hg_jax.metrics import boxes

SEEN = 0.1  # a joint's score from which it counts as found

# Of MPII's 16,992 people with all joints labeled: the person's square over the
# longer extent of the joints, in the median, and how far the square's center
# lies below theirs, in sides.
_SQUARE, _BELOW = 1.455, 0.036

# One-Euro filter (Casiez et al., CHI 2012): the cutoff of a joint at rest, Hz,
# and how much it grows with speed, Hz per (box side / s).
_REST, _GROWTH, _SPEED_CUTOFF = 1.5, 5.0, 1.0

# A person of whom the surer half of the joints score less is not sure.
SURE = 0.35
# How far joints of one person may lie apart, of the person's square, and how
# alike two skeletons are that are one person.
_APART, _ALIKE = 0.06, 0.6
EVERY = 5  # frames: how often people are looked for
_PATIENCE = 10  # frames without a person who keeps the number all the same
_NOT_FOUND = 4  # looks without a square where a track is, and it ends
_OVERLAP = 0.3  # of a track's square and a found one of the same person


def box_around(
  joints: np.ndarray,  # f[K, 2] px
  scores: np.ndarray,  # f[K]
  width: int,
  height: int,
) -> Box | None:
  """Returns the box of the person with these joints, a square.

  None if most joints are not found, or the square is outside the image.
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


def person_score(scores: np.ndarray) -> float:
  """Returns the mean score of the joints found, 0 without any."""
  found = scores[scores >= SEEN]
  return float(found.mean()) if len(found) else 0.0


def sureness(
  scores: np.ndarray,  # f[..., K]
) -> np.ndarray:  # f[...]
  """Returns the mean score of the surer half; some joints may be hidden."""
  joints = scores.shape[-1]
  return np.sort(scores, axis=-1)[..., joints // 2 :].mean(axis=-1)


def distinct(
  joints: np.ndarray,  # f[P, K, 2] px
  scores: np.ndarray,  # f[P, K]
) -> list[int]:
  """Returns the people who are not found twice, in their order.

  Of two skeletons that lie on each other the surer one stays.
  """
  kept = []
  for person in np.argsort(-sureness(scores), kind='stable').tolist():
    if not any(_alike(joints[person], joints[other]) for other in kept):
      kept.append(person)
  return sorted(kept)


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
  """Tells whether two skeletons are one person, by a similarity as OKS."""
  side = max(np.ptp(a, axis=0).max(), np.ptp(b, axis=0).max(), 1e-6)
  apart = np.linalg.norm(a - b, axis=-1) / (_APART * _SQUARE * side)
  return float(np.exp(-(apart**2) / 2).mean()) > _ALIKE


class Track:
  """A person in a video; the box follows the joints.

  Attributes:
    id: the person's number.
    box: of the next frame, px.
    missed: how many frames ago the person was last seen.
    not_found: how many looks ago a square was last found there.
  """

  def __init__(self, box: Box, id: int):
    self.box = box
    self.id = id
    self.missed = self.not_found = 0
    self._time = None
    self._joints = None  # f[K, 2], smoothed
    self._speed = 0.0  # f[K, 2], px/s

  def smoothed(self, joints: np.ndarray, time: float) -> np.ndarray:
    """Returns the joints of a frame, smoothed over time."""
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

  def lose(self) -> None:
    """Forgets the joints, which smoothing would go on from."""
    self.missed += 1
    self._joints = None


def _share(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
  """Of a new value in the average that passes frequencies below `cutoff`."""
  return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


class Tracks:
  """The people of a video, who come and go.

  With given boxes the people are these, to the end: one who is lost is looked
  for in the first box. Else people are found every few frames. What happens
  depends on what was found and on the frames' lines alone, so that a call that
  goes on from the lines of another finds the same.
  """

  def __init__(self, given: Sequence[Box] | None, *, most: int | None):
    self._given = given
    self._most = most
    self._tracks = [Track(b, n) for n, b in enumerate(given or (), 1)]
    self._next = len(self._tracks) + 1

  def to_find(self, frame: int) -> bool:
    """Tells whether people are to be looked for in a frame."""
    if self._given is not None:
      return False
    seen = [track for track in self._tracks if not track.missed]
    return frame % EVERY == 0 or not seen

  def people(self, found: Sequence[Person] | None) -> list[Person]:
    """Returns where to look in a frame: at the tracks, and at new people.

    Args:
      found: the people who were looked for in the frame; None if not.
    """
    if found is None:
      found = []
    elif self._tracks:
      found = self._match(found)
    looked_at = [
      Person(track.box, id=track.id)
      for track in self._tracks
      if not track.missed or self._given is not None
    ]
    room = None if self._most is None else self._most - len(looked_at)
    new = [Person(person.box, score=person.score) for person in found]
    return looked_at + (new if room is None else new[: max(room, 0)])

  def _match(self, found: Sequence[Person]) -> list[Person]:
    """Gives found squares to the tracks there; returns the others."""
    ours = _squares([track.box for track in self._tracks])
    theirs = _squares([person.box for person in found])
    overlaps = boxes.overlap(ours[0][:, None], ours[1][:, None], *theirs)
    rows, columns = linear_sum_assignment(-overlaps)
    taken = set()
    for track in self._tracks:
      track.not_found += 1
    for row, column in zip(rows, columns, strict=True):
      if overlaps[row, column] >= _OVERLAP:
        track = self._tracks[row]
        track.not_found = 0
        taken.add(column)
        if track.missed:  # The person is there again.
          track.box, track.missed = found[column].box, 0
    self._tracks = [t for t in self._tracks if t.not_found < _NOT_FOUND]
    return [person for n, person in enumerate(found) if n not in taken]

  def follow(
    self,
    ids: Sequence[int | None],  # None: of a new person
    joints: np.ndarray,  # f[P, K, 2] px
    scores: np.ndarray,  # f[P, K]
    width: int,
    height: int,
  ) -> list[tuple[int, Track]]:
    """Moves the boxes to the joints of a frame.

    Returns:
      Who was seen: the row, and the person's track. With given boxes it is
      everybody.
    """
    around = [
      box_around(of_one, its, width, height)
      for of_one, its in zip(joints, scores, strict=True)
    ]
    if self._given is not None:
      for track, box, start in zip(
        self._tracks, around, self._given, strict=True
      ):
        track.box = box or start
        track.missed = 0
        if box is None:
          track.lose()
      return list(enumerate(self._tracks))
    sure = sureness(scores) >= SURE
    rows = [r for r, box in enumerate(around) if box is not None and sure[r]]
    kept = [rows[n] for n in distinct(joints[rows], scores[rows])]
    by_id = {track.id: track for track in self._tracks}
    seen = []
    for row in kept:
      track = by_id.get(ids[row])
      if track is None:
        track = Track(around[row], ids[row] or self._next)
        self._next = max(self._next, track.id + 1)
        self._tracks.append(track)
      track.box, track.missed = around[row], 0
      seen.append((row, track))
    numbers = {track.id for _, track in seen}
    for track in self._tracks:
      if track.id not in numbers:
        track.lose()
    self._tracks = [t for t in self._tracks if t.missed <= _PATIENCE]
    return seen


def _squares(
  of_people: Sequence[Box],
) -> tuple[np.ndarray, np.ndarray]:  # f[P, 2], f[P]
  """Returns the middles and the sides of the squares of boxes."""
  x, y, w, h = np.array(of_people, float).reshape(-1, 4).T
  return np.stack([x + w / 2, y + h / 2], -1), ROOM * np.maximum(w, h)
