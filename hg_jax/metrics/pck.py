"""PCK: the share of joints predicted within a fraction of a person's size.

The dataset decides the size: MPII's head (PCKh), the torso, or the box. A
joint is correct at threshold t if its error is less than t sizes. Counts are
integers that add over batches and devices; percentages are computed once, at
the end. MPII's numbers come in four conventions that differ by up to five
points on the same predictions: never compare across them.

Axes: P people, K joints, T thresholds, V visible and occluded.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hg_jax.base.skeleton import Skeleton


class Counts(NamedTuple):
  """Correct and labeled joints; `a + b` are the counts of both.

  Attributes:
    below: i32[V, T, K], joints with an error < threshold.
    within: i32[V, T, K], joints with an error <= threshold.
    labeled: i32[V, K], joints that have a position.
  """

  below: np.ndarray
  within: np.ndarray
  labeled: np.ndarray

  def __add__(self, other: 'Counts') -> 'Counts':
    return Counts(*(a + b for a, b in zip(self, other, strict=True)))

  def visible(self) -> 'Counts':
    """Returns the counts of the visible joints."""
    return Counts(*(array[:1] for array in self))

  def occluded(self) -> 'Counts':
    """Returns the counts of the labeled joints that are hidden."""
    return Counts(*(array[1:] for array in self))


def count(
  predictions,  # f32[P, K, 2] px of the image
  joints,  # f32[P, K, 2] px of the image
  labeled,  # bool[P, K]
  visible,  # bool[P, K]
  reference,  # f32[P] px of the image, what errors are measured in
  *,
  thresholds: Sequence[float],
  mask=None,  # bool[P], False: padding, not counted
) -> Counts:
  """Counts correct joints, in NumPy or in JAX, also inside `jax.jit`.

  People whose reference could not be measured, and is 0, are left out.

  Raises:
    ValueError: `predictions` and `joints` differ in shape.
  """
  xp = predictions.__array_namespace__()
  labeled = labeled & (reference > 0)[:, None]
  if mask is not None:
    labeled = labeled & mask[:, None]
  parts = xp.stack([labeled & visible, labeled & ~visible])
  error = _error(predictions, joints)
  radius = xp.asarray(thresholds, dtype=error.dtype)[:, None] * reference[None]
  error, radius = error.T[:, None], radius[None]  # [K, 1, P], [1, T, P]
  # A matrix product per joint is four times as fast as a masked sum. It is
  # exact in float32 for fewer than 2**24 people.
  counted = xp.permute_dims(parts, (2, 1, 0)).astype(xp.float32)  # [K, P, V]

  def total(correct):  # bool[K, T, P] -> i32[V, T, K]
    sums = xp.matmul(correct.astype(xp.float32), counted)
    return xp.permute_dims(sums, (2, 1, 0)).astype(xp.int32)

  return Counts(
    below=total(error < radius),
    within=total(error <= radius),
    labeled=xp.sum(parts, axis=1, dtype=xp.int32),
  )


def _error(predictions, joints):  # f32[P, K, 2] -> f32[P, K], px
  if predictions.shape != joints.shape:
    raise ValueError(
      f'predictions are {predictions.shape}, joints are {joints.shape}.'
    )
  xp = predictions.__array_namespace__()
  # Not the squares: head sizes are rounded roots too, and published
  # predictions have joints exactly on the radius.
  x, y = xp.moveaxis(predictions - joints, -1, 0)
  return xp.sqrt(x * x + y * y)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Total:
  """A convention by which the joints make one number.

  Attributes:
    parts: sets of joints. Each set is pooled: its labeled joints have equal
      weights. The total is the mean over the sets with labeled joints.
    compare: the field of `Counts`: 'below' (<) or 'within' (<=).
    source: who uses the convention.
  """

  parts: tuple[tuple[int, ...], ...]
  compare: str = 'below'
  source: str = ''

  def percent(
    self,
    counts: Counts,  # of T thresholds
  ) -> np.ndarray:  # f64[T]
    """Returns the PCK at each threshold; NaN where no joint is labeled."""
    correct = np.asarray(getattr(counts, self.compare)).sum(axis=0)
    labeled = np.asarray(counts.labeled).sum(axis=0)
    shares = [
      correct[:, joints].sum(axis=1) / labeled[joints].sum()
      for joints in map(list, self.parts)
      if labeled[joints].any()
    ]
    nothing = np.full(len(correct), np.nan)
    return 100 * np.mean(shares, axis=0) if shares else nothing

  def influence(
    self,
    correct: np.ndarray,  # bool[P, K]
    labeled: np.ndarray,  # bool[P, K]
  ) -> np.ndarray:  # f64[P], points
    """Returns how far each person moves the total; the moves sum to 0.

    This is the delta method for a ratio of sums over people. If c of a
    person's n joints and a share s of all N joints are correct, the person
    moves s by (c - s n) / N.
    """
    moves = []
    for joints in map(list, self.parts):
      hits, of = correct[:, joints].sum(axis=1), labeled[:, joints].sum(axis=1)
      if of.any():
        moves.append((hits - hits.sum() / of.sum() * of) / of.sum())
    nothing = np.full(len(correct), np.nan)
    return 100 * np.mean(moves, axis=0) if moves else nothing


# For object keypoint similarity, where the spread of annotators over a joint
# has not been measured.
SIGMA = 0.05
# By kind: the name at a threshold, the unit, the threshold of the dataset's
# papers, and a finer threshold.
_KINDS = {
  'pckh': ('PCKh@{:g}', 'head sizes', 0.5, 0.1),
  'pck_torso': ('PCK@{:g} torso', 'torso lengths', 0.2, 0.1),
  'pck_box': ('PCK@{:g} box', 'box sides', 0.1, 0.05),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
  """The metric of a dataset: makes percentages of `Counts`.

  Attributes:
    kind: `Skeleton.metric`.
    unit: the length of a threshold of 1.
    threshold: the threshold of the totals.
    fine: a second, smaller threshold.
    totals: conventions that make one number; one of them is `all_joints`.
    groups: the columns of the printed table.
    joints: a total for each joint, by name.
    sigmas: one per joint, for `oks`.
  """

  kind: str
  unit: str
  threshold: float
  fine: float
  totals: dict[str, Total]
  groups: dict[str, Total]
  joints: dict[str, Total]
  sigmas: tuple[float, ...]

  @property
  def thresholds(self) -> tuple[float, ...]:
    """51 thresholds from 0 to `threshold`, for the curve."""
    return tuple(round(self.threshold * n / 50, 6) for n in range(51))

  @property
  def curve(self) -> str:
    """The total whose curve is drawn."""
    return 'standard' if 'standard' in self.totals else 'all_joints'

  def name(self, threshold: float | None = None) -> str:
    """Returns the name, such as 'PCKh@0.5'."""
    form, *_ = _KINDS[self.kind]
    return form.format(threshold or self.threshold)

  def at(
    self,
    totals: dict[str, Total],
    counts: Counts,  # at `thresholds`
    threshold: float | None = None,
  ) -> dict[str, float | None]:
    """Returns totals in percent; None where no joint is labeled."""
    index = self.thresholds.index(threshold or self.threshold)
    return {
      name: _plain(total.percent(counts)[index])
      for name, total in totals.items()
    }

  def summarize(
    self,
    counts: Counts,  # at `thresholds`
  ) -> dict:
    """Returns all numbers but the standard errors, in percent, for JSON.

    A number is None where no joint is labeled. 'curve' is the total `curve` at
    `thresholds`, and 'auc' the area under it, in percent of the largest area.
    """
    summary = {'metric': self.kind}
    for kind, totals in (('totals', self.totals), ('groups', self.groups)):
      summary |= {
        kind: self.at(totals, counts),
        f'{kind}_at_{self.fine:g}': self.at(totals, counts, self.fine),
        f'{kind}_visible': self.at(totals, counts.visible()),
        f'{kind}_occluded': self.at(totals, counts.occluded()),
      }
    curve = self.totals[self.curve].percent(counts)
    area = np.trapezoid(curve, self.thresholds) / self.threshold
    return summary | {
      'joints': self.at(self.joints, counts),
      'auc': _plain(area),
      'curve': [_plain(value) for value in curve],
    }

  def correct(
    self,
    predictions: np.ndarray,  # f32[P, K, 2] px of the image
    joints: np.ndarray,  # f32[P, K, 2] px of the image
    reference: np.ndarray,  # f32[P] px of the image
  ) -> dict[str, np.ndarray]:  # bool[P, K] by the field of `Counts`
    """Returns which joints are correct at `threshold`."""
    error = _error(predictions, joints)
    radius = self.threshold * reference[:, None]
    return {'below': error < radius, 'within': error <= radius}

  def influences(
    self,
    correct: dict[str, np.ndarray],  # of `correct`
    scored: np.ndarray,  # bool[P, K], labeled joints that can be measured
  ) -> dict[str, np.ndarray]:  # f64[P], points
    """Returns each person's influence on each total, for standard errors."""
    return {
      name: total.influence(correct[total.compare] & scored, scored)
      for name, total in self.totals.items()
    }


def create_metric(skeleton: Skeleton) -> Metric:
  """Creates the metric of a dataset's joints."""
  _, unit, threshold, fine = _KINDS[skeleton.metric]
  of_mpii = skeleton.metric == 'pckh' and set(skeleton.joints) == _MPII_JOINTS
  totals = (_mpii_totals if of_mpii else _plain_totals)(skeleton)
  return Metric(
    kind=skeleton.metric,
    unit=unit,
    threshold=threshold,
    fine=fine,
    totals=totals,
    groups={name: Total(parts=(ks,)) for name, ks in skeleton.groups.items()},
    joints={
      name: Total(parts=((k,),)) for k, name in enumerate(skeleton.joints)
    },
    sigmas=skeleton.sigmas or (SIGMA,) * len(skeleton.joints),
  )


def _pooled(
  joints: Sequence[int], source: str, compare: str = 'below'
) -> Total:
  return Total(parts=(tuple(joints),), compare=compare, source=source)


def _mean(joints: Sequence[int], source: str) -> Total:
  return Total(parts=tuple((k,) for k in joints), source=source)


def _plain_totals(skeleton: Skeleton) -> dict[str, Total]:
  count = len(skeleton.joints)
  joints, lsp = range(count), f'all {count} pooled, <=: the evaluation of LSP'
  torso = {'standard': _pooled(joints, lsp, 'within')}
  return {
    'all_joints': _pooled(joints, f'all {count} pooled, <'),
    **(torso if skeleton.metric == 'pck_torso' else {}),
    'joint_mean': _mean(joints, f'mean of the {count} joints, <'),
  }


_LIMBS = ('elbow', 'wrist', 'hip', 'knee', 'ankle')
_MPII_JOINTS = {
  *(f'{side}_{joint}' for side in 'rl' for joint in (*_LIMBS, 'shoulder')),
  *('pelvis', 'thorax', 'neck', 'head_top'),
}


def _mpii_totals(skeleton: Skeleton) -> dict[str, Total]:
  """Returns the four conventions of MPII's joints; SPEC 4.2 and 6."""
  joints = tuple(enumerate(skeleton.joints))
  standard = [k for k, name in joints if name not in ('pelvis', 'thorax')]
  return {
    'all_joints': _pooled(
      range(16), 'all 16 pooled, <: pytorch_stacked_hourglass, the report'
    ),
    'standard': _pooled(
      standard,
      '14 pooled (no pelvis, thorax), <=: MPII, HRNet, mmpose',
      'within',
    ),
    'joint_mean': _mean(
      standard, 'mean of the 14 joints, <: bearpaw/pytorch-pose'
    ),
    'hard_joints': _pooled(
      [k for k, name in joints if name[2:] in _LIMBS],
      "10 pooled, elbow wrist hip knee ankle, <: Newell's subset",
    ),
  }


def _plain(value: float) -> float | None:
  """Rounds a number for JSON, which has no NaN."""
  return None if math.isnan(value) else round(float(value), 4)


def standard_errors(
  influences: dict[str, np.ndarray],  # f64[P], points
) -> dict[str, float | None]:
  """Returns the standard error of each total, points; None for one person.

  People are drawn independently, and each person's joints together. For the
  difference of two predictions of the same people, pass the differences of
  their influences. Its error is smaller, because both fail on the same
  difficult people.
  """
  return {
    name: _plain(math.sqrt(n) * np.std(moves, ddof=1)) if n > 1 else None
    for name, moves in influences.items()
    for n in [len(moves)]
  }
