"""The percentage of correct parts: limbs with both ends in place.

Axes: P people, K joints, L limbs.
"""

from collections.abc import Sequence

import numpy as np


def pcp(
  predictions: np.ndarray,  # f32[P, K, 2]
  joints: np.ndarray,  # f32[P, K, 2]
  labeled: np.ndarray,  # bool[P, K]
  limbs: Sequence[tuple[int, int]],
) -> float | None:
  """Returns the strict percentage of correct parts (PCP) over all limbs.

  A limb is correct if each end is within half of the limb's labeled length
  (Ferrari et al., 2008). The result is None if no limb is labeled.
  """
  ends = np.array(limbs, int).reshape(-1, 2).T
  error = np.linalg.norm(predictions - joints, axis=-1)[:, ends]  # [P, 2, L]
  length = np.linalg.norm(joints[:, ends[0]] - joints[:, ends[1]], axis=-1)
  correct = (error <= length[:, None] / 2).all(axis=1)
  there = labeled[:, ends].all(axis=1)
  return round(100 * float(correct[there].mean()), 4) if there.any() else None
