"""Precision and recall of the squares of people, as counts that add.

A found square is right if it overlaps that of a person who has none yet by an
intersection over union of at least 0.5; the surest chooses first.

Axes: P people, F found, T thresholds of the score.
"""

import dataclasses

import numpy as np

IOU = 0.5
THRESHOLDS = np.linspace(0, 1, 101)


def overlap(
  centers_a: np.ndarray,  # f[..., 2]
  sides_a: np.ndarray,  # f[...]
  centers_b: np.ndarray,  # f[..., 2]
  sides_b: np.ndarray,  # f[...]
) -> np.ndarray:  # f[...]
  """Returns the intersection over union of squares, 0 to 1; it broadcasts."""
  half_a, half_b = sides_a[..., None] / 2, sides_b[..., None] / 2
  low = np.maximum(centers_a - half_a, centers_b - half_b)
  high = np.minimum(centers_a + half_a, centers_b + half_b)
  shared = np.maximum(high - low, 0).prod(-1)
  return shared / (sides_a**2 + sides_b**2 - shared)


def match(overlaps: np.ndarray, least: float = IOU) -> np.ndarray:
  """Gives each found square, the surest first, the person it overlaps most.

  Args:
    overlaps: f[F, P], the found by falling score.
    least: the least overlap.

  Returns:
    i[F], the person's index, or -1 where none is left.
  """
  left = overlaps.copy()
  matched = np.full(len(left), -1)
  for found in range(len(left)):
    if left.shape[1] and left[found].max() >= least:
      matched[found] = left[found].argmax()
      left[:, matched[found]] = -1
  return matched


@dataclasses.dataclass(frozen=True)
class BoxCounts:
  """Found squares by the score that they reach at least.

  Attributes:
    right: i64[T], those that match a person.
    wrong: i64[T], the others.
    people: how many there are.
  """

  right: np.ndarray
  wrong: np.ndarray
  people: int

  def __add__(self, other: 'BoxCounts') -> 'BoxCounts':
    return BoxCounts(
      self.right + other.right,
      self.wrong + other.wrong,
      self.people + other.people,
    )

  def recall(self) -> np.ndarray:  # f64[T]
    return self.right / max(self.people, 1)

  def precision(self) -> np.ndarray:  # f64[T], 1 where nothing is found
    found = self.right + self.wrong
    return np.where(found, self.right / np.maximum(found, 1), 1.0)

  def average_precision(self) -> float:
    """The mean over 101 recalls of the best precision at each or above."""
    recall, precision = self.recall(), self.precision()
    return float(
      np.mean(
        [
          precision[recall >= wanted].max(initial=0)
          for wanted in np.linspace(0, 1, 101)
        ]
      )
    )


def count(
  centers: np.ndarray,  # f[F, 2], found
  sides: np.ndarray,  # f[F]
  scores: np.ndarray,  # f[F], falling
  true_centers: np.ndarray,  # f[P, 2]
  true_sides: np.ndarray,  # f[P]
  ignored: np.ndarray,  # bool[P], too small: neither right nor wrong
) -> BoxCounts:
  """Counts the found squares of one photo."""
  overlaps = overlap(centers[:, None], sides[:, None], true_centers, true_sides)
  matched = match(overlaps[:, ~ignored])
  is_right = matched >= 0
  counted = is_right | ~(overlaps[:, ignored] >= IOU).any(axis=1)
  reached = scores[:, None] >= np.maximum(THRESHOLDS, 1e-9)
  return BoxCounts(
    (reached & is_right[:, None]).sum(0),
    (reached & (counted & ~is_right)[:, None]).sum(0),
    int((~ignored).sum()),
  )
