"""PCKh: the share of joints predicted within a fraction of the head's size.

A joint is correct at threshold t when its error is under t head sizes. Counts
are integers that add, over batches and devices; percentages are computed once,
at the end. Published numbers come in four conventions, `TOTALS`, which differ
by up to five points on the same predictions: never compare across them.

Axes: P people, K joints, T thresholds, V visible and occluded.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hg_jax.base.skeleton import SKELETON

# Head sizes. A threshold of n / 100 is at index n: 0.1 at 10, 0.5 at 50.
THRESHOLDS = tuple(n / 100 for n in range(51))


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
    """The visible joints alone."""
    return Counts(*(array[:1] for array in self))

  def occluded(self) -> 'Counts':
    """The labeled joints that are hidden."""
    return Counts(*(array[1:] for array in self))


def count(
  predictions,  # f32[P, K, 2] px of the image
  joints,  # f32[P, K, 2] px of the image
  labeled,  # bool[P, K]
  visible,  # bool[P, K]
  head_size,  # f32[P] px of the image
  *,
  thresholds: Sequence[float] = THRESHOLDS,
  mask=None,  # bool[P], False: padding, not counted
) -> Counts:
  """Counts correct joints, in NumPy or, also inside `jax.jit`, in JAX.

  Raises:
    ValueError: `predictions` and `joints` differ in shape.
  """
  xp = predictions.__array_namespace__()
  if mask is not None:
    labeled = labeled & mask[:, None]
  parts = xp.stack([labeled & visible, labeled & ~visible])
  error = _error(predictions, joints)
  radius = xp.asarray(thresholds, dtype=error.dtype)[:, None] * head_size[None]
  error, radius = error.T[:, None], radius[None]  # [K, 1, P], [1, T, P]
  # A matrix product per joint is four times as fast as a masked sum, and
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
  # The root is taken, though squares compare alike: head sizes are rounded
  # roots too, and published predictions have joints exactly on the radius.
  x, y = xp.moveaxis(predictions - joints, -1, 0)
  return xp.sqrt(x * x + y * y)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Total:
  """A convention by which the joints make one number.

  Attributes:
    parts: sets of joints. Each is pooled: its labeled joints count alike. The
      total is the mean over the parts that have labeled joints.
    compare: the field of `Counts`: 'below' (<) or 'within' (<=).
    source: who counts like this.
  """

  parts: tuple[tuple[int, ...], ...]
  compare: str = 'below'
  source: str = ''

  def percent(
    self,
    counts: Counts,  # of T thresholds
  ) -> np.ndarray:  # f64[T]
    """Returns PCKh at each threshold; NaN where no joint is labeled."""
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
    """Returns how far each person moves the total; they sum to 0.

    The delta method for a ratio of sums over people: with c of a person's n
    joints correct and a share s of all N, the person moves s by (c - s n) / N.
    """
    moves = []
    for joints in map(list, self.parts):
      hits, of = correct[:, joints].sum(axis=1), labeled[:, joints].sum(axis=1)
      if of.any():
        moves.append((hits - hits.sum() / of.sum() * of) / of.sum())
    nothing = np.full(len(correct), np.nan)
    return 100 * np.mean(moves, axis=0) if moves else nothing


_ALL = tuple(range(len(SKELETON.joints)))
_STANDARD = tuple(
  k for k in _ALL if SKELETON.joints[k] not in ('pelvis', 'thorax')
)
_HARD = tuple(
  k
  for name in ('Elbow', 'Wrist', 'Hip', 'Knee', 'Ankle')
  for k in SKELETON.groups[name]
)
# SPEC 4.2 and 6.
TOTALS = {
  'all_joints': Total(
    parts=(_ALL,),
    source='all 16 pooled, <: pytorch_stacked_hourglass, the report',
  ),
  'standard': Total(
    parts=(_STANDARD,),
    compare='within',
    source='14 pooled (no pelvis, thorax), <=: MPII, HRNet, mmpose',
  ),
  'joint_mean': Total(
    parts=tuple((k,) for k in _STANDARD),
    source='mean of the 14 joints, <: bearpaw/pytorch-pose',
  ),
  'hard_joints': Total(
    parts=(_HARD,),
    source="10 pooled, elbow wrist hip knee ankle, <: Newell's subset",
  ),
}
# The columns of the printed table, and the joints one by one.
GROUPS = {
  name: Total(parts=(joints,)) for name, joints in SKELETON.groups.items()
}
_JOINTS = {name: Total(parts=((k,),)) for k, name in enumerate(SKELETON.joints)}


def summarize(
  counts: Counts,  # at `THRESHOLDS`
) -> dict:
  """Returns all numbers but the standard errors, in percent, for JSON.

  `totals`, `groups` and `joints` are at 0.5; `curve` is the total `standard`
  at `THRESHOLDS`, and `auc` the area under it, in percent of the largest.
  None where no joint is labeled.
  """
  curve = TOTALS['standard'].percent(counts)
  summary = {}
  for kind, totals in (('totals', TOTALS), ('groups', GROUPS)):
    summary |= {
      kind: at(totals, counts),
      f'{kind}_at_0.1': at(totals, counts, 0.1),
      f'{kind}_visible': at(totals, counts.visible()),
      f'{kind}_occluded': at(totals, counts.occluded()),
    }
  return summary | {
    'joints': at(_JOINTS, counts),
    'auc': _plain(np.trapezoid(curve, THRESHOLDS) / THRESHOLDS[-1]),
    'curve': [_plain(value) for value in curve],
  }


def at(
  totals: dict[str, Total],
  counts: Counts,  # at `THRESHOLDS`
  threshold: float = 0.5,
) -> dict[str, float | None]:
  """Each total at one threshold, percent; None where nothing is labeled."""
  index = THRESHOLDS.index(threshold)
  return {
    name: _plain(total.percent(counts)[index]) for name, total in totals.items()
  }


def _plain(value: float) -> float | None:
  """Rounds for JSON, which has no NaN."""
  return None if math.isnan(value) else round(float(value), 4)


def influences(
  predictions: np.ndarray,  # f32[P, K, 2] px of the image
  joints: np.ndarray,  # f32[P, K, 2] px of the image
  labeled: np.ndarray,  # bool[P, K]
  head_size: np.ndarray,  # f32[P] px of the image
) -> dict[str, np.ndarray]:  # f64[P], points
  """Returns each person's influence on each total at 0.5, for their errors."""
  error, radius = _error(predictions, joints), 0.5 * head_size[:, None]
  correct = {'below': error < radius, 'within': error <= radius}
  return {
    name: total.influence(correct[total.compare] & labeled, labeled)
    for name, total in TOTALS.items()
  }


def standard_errors(
  influences: dict[str, np.ndarray],  # f64[P], points
) -> dict[str, float | None]:
  """Returns the standard error of each total, points; None for one person.

  People are drawn independently, their joints together. For the difference
  of two predictions of the same people pass the differences of the two
  influences: its error is smaller, as both fail on the same difficult people.
  """
  return {
    name: _plain(math.sqrt(n) * np.std(moves, ddof=1)) if n > 1 else None
    for name, moves in influences.items()
    for n in [len(moves)]
  }


def table(summary: dict) -> str:
  """Formats a summary for a terminal of 80 columns.

  Args:
    summary: of `summarize`; may have the `standard_error` of the totals.
  """
  lines = []
  for kind in ('groups', 'totals'):
    rows = {'PCKh@0.5': summary[kind]}
    if kind == 'totals' and 'standard_error' in summary:
      rows['  std. error'] = summary['standard_error']
    occluded = summary[f'{kind}_occluded']
    # With nothing occluded, the annotations do not tell visibility.
    if any(value is not None for value in occluded.values()):
      rows |= {'  visible': summary[f'{kind}_visible'], '  occluded': occluded}
    rows['PCKh@0.1'] = summary[f'{kind}_at_0.1']
    lines += [*grid(rows), '']
  auc = '-' if summary['auc'] is None else f'{summary["auc"]:.2f}'
  lines[-1] = f'Area under the curve of standard, 0 to 0.5: {auc}'
  return '\n'.join(lines)


def grid(
  rows: dict[str, dict[str, float | None]],  # by label, then by column
  form: str = '.2f',
) -> list[str]:
  """Aligns numbers under the columns' names, a line per row; '-' for None."""
  columns = {name: max(len(name) + 2, 9) for name in [*rows.values()][0]}

  def cell(value: float | None, width: int) -> str:
    return f'{"-" if value is None else format(value, form):>{width}}'

  header = ''.join(f'{name:>{width}}' for name, width in columns.items())
  return [
    f'{"":14}{header}',
    *(
      f'{label:14}' + ''.join(cell(row[c], columns[c]) for c in columns)
      for label, row in rows.items()
    ),
  ]
