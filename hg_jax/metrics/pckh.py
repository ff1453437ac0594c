"""PCKh: the share of joints found within a part of the head's size.

A joint is found at threshold t when its error is under t head sizes. Counts
are integers that add, over batches and devices; percentages are taken once,
at the end. Published numbers come in four conventions, `TOTALS`, which differ
by up to five points on the same predictions: never compare across them.

Axes: P people, K joints, T thresholds, V visible and occluded.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hg_jax.base.skeleton import SKELETON

# Head sizes. A threshold of n / 100 is at index n: 0.1 at 10, 0.5 at 50.
THRESHOLDS = tuple(n / 100 for n in range(51))
# Standard errors are good to 1 / sqrt(2 x 1,000), 2 % of their value.
_RESAMPLES = 1000


class Counts(NamedTuple):
  """What was found and what there was; `a + b` are the counts of both.

  Attributes:
    below: i32[V, T, K], joints with an error < threshold.
    within: i32[V, T, K], joints with an error <= threshold.
    labeled: i32[V, K], joints with a position.
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
    """The joints with a position that something hides."""
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
  """Counts the joints found, in NumPy or, also inside `jax.jit`, in JAX.

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

  def total(found):  # bool[K, T, P] -> i32[V, T, K]
    sums = xp.matmul(found.astype(xp.float32), counted)
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


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """100 x part / whole; NaN where the whole is nothing."""
  part, whole = np.broadcast_arrays(part, whole)
  nothing = np.full(part.shape, np.nan)
  return np.divide(100.0 * part, whole, out=nothing, where=whole > 0)


def _pooled(correct: np.ndarray, labeled: np.ndarray) -> np.ndarray:
  """Every labeled joint counts alike; [..., K] -> [...], percent."""
  return _percent(correct.sum(-1), labeled.sum(-1))


def _mean_of_joints(correct: np.ndarray, labeled: np.ndarray) -> np.ndarray:
  """Every kind of joint that is labeled counts alike; as `_pooled`."""
  shares = np.nan_to_num(_percent(correct, labeled))
  return _percent(shares.sum(-1), (labeled > 0).sum(-1)) / 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Total:
  """A convention by which the joints make one number.

  Attributes:
    joints: the joints that take part.
    compare: the field of `Counts`: 'below' (<) or 'within' (<=).
    average: (correct [..., K], labeled [..., K]) -> percent [...].
    source: who counts like this.
  """

  joints: tuple[int, ...]
  compare: str
  average: Callable[[np.ndarray, np.ndarray], np.ndarray]
  source: str

  def percent(
    self,
    counts: Counts,  # of T thresholds
  ) -> np.ndarray:  # f64[T]
    """PCKh at each threshold; NaN where no joint is labeled."""
    correct = np.asarray(getattr(counts, self.compare)).sum(axis=0)
    labeled = np.asarray(counts.labeled).sum(axis=0)
    joints = list(self.joints)
    return self.average(correct[..., joints], labeled[joints])


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
    joints=_ALL,
    compare='below',
    average=_pooled,
    source='all 16 pooled, <: pytorch_stacked_hourglass, the report',
  ),
  'standard': Total(
    joints=_STANDARD,
    compare='within',
    average=_pooled,
    source='14 pooled (no pelvis, thorax), <=: MPII, HRNet, mmpose',
  ),
  'joint_mean': Total(
    joints=_STANDARD,
    compare='below',
    average=_mean_of_joints,
    source='mean of the 14 joints, <: bearpaw/pytorch-pose',
  ),
  'hard_joints': Total(
    joints=_HARD,
    compare='below',
    average=_pooled,
    source="10 pooled, elbow wrist hip knee ankle, <: Newell's subset",
  ),
}
# The columns of the printed table, counted as `all_joints` is.
GROUPS = {
  name: dataclasses.replace(TOTALS['all_joints'], joints=joints, source='')
  for name, joints in SKELETON.groups.items()
}


def area(percent: np.ndarray) -> float:
  """The area under a curve over `THRESHOLDS`, percent of the largest."""
  return float(np.trapezoid(percent, THRESHOLDS) / THRESHOLDS[-1])


def summarize(
  counts: Counts,  # at `THRESHOLDS`
) -> dict:
  """All numbers but the standard errors, in percent, ready for JSON.

  `totals`, `groups` and `joints` are at 0.5; `curve` and its area `auc` are
  those of the total `standard`. None where no joint is labeled.
  """
  joints = {
    name: dataclasses.replace(TOTALS['all_joints'], joints=(k,))
    for k, name in enumerate(SKELETON.joints)
  }
  curve = TOTALS['standard'].percent(counts)
  return {
    'totals': at(TOTALS, counts),
    'totals_at_0.1': at(TOTALS, counts, 0.1),
    'totals_visible': at(TOTALS, counts.visible()),
    'totals_occluded': at(TOTALS, counts.occluded()),
    'groups': at(GROUPS, counts),
    'groups_at_0.1': at(GROUPS, counts, 0.1),
    'groups_visible': at(GROUPS, counts.visible()),
    'groups_occluded': at(GROUPS, counts.occluded()),
    'joints': at(joints, counts),
    'auc': _plain(area(curve)),
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
  """For JSON, which has no NaN."""
  return None if math.isnan(value) else round(float(value), 4)


def resample(
  predictions: np.ndarray,  # f32[P, K, 2] px of the image
  joints: np.ndarray,  # f32[P, K, 2] px of the image
  labeled: np.ndarray,  # bool[P, K]
  head_size: np.ndarray,  # f32[P] px of the image
  *,
  threshold: float = 0.5,
) -> dict[str, np.ndarray]:  # f64[resamples], percent
  """Each total on other draws of as many people, with replacement.

  Their standard deviation is the total's standard error. The draws depend on
  P alone, so for two predictions of the same people the differences of their
  resamples are those of the paired difference.
  """
  people = len(predictions)
  draws = np.random.default_rng(0).integers(people, size=(_RESAMPLES, people))
  draws += people * np.arange(_RESAMPLES)[:, None]
  # How often a draw holds each person.
  times = np.bincount(draws.ravel(), minlength=_RESAMPLES * people)
  times = times.reshape(_RESAMPLES, people).astype(np.float32)

  error = _error(predictions, joints)
  radius = threshold * head_size[:, None]
  found = {'below': error < radius, 'within': error <= radius}
  correct = {
    compare: times @ (hit & labeled).astype(np.float32)
    for compare, hit in found.items()
  }
  present = times @ labeled.astype(np.float32)
  return {
    name: total.average(
      correct[total.compare][:, list(total.joints)],
      present[:, list(total.joints)],
    )
    for name, total in TOTALS.items()
  }


def standard_error(
  resamples: dict[str, np.ndarray],  # f64[resamples]
) -> dict[str, float | None]:
  """The bootstrap's standard error of each total, points."""
  return {
    name: _plain(np.std(values, ddof=1)) for name, values in resamples.items()
  }


def table(summary: dict) -> str:
  """Text for a terminal of 80 columns.

  Args:
    summary: of `summarize`; may have `standard_error` of `standard_error`.
  """

  def rows(kind):
    yield 'PCKh@0.5', summary[kind]
    if kind == 'totals' and 'standard_error' in summary:
      yield '  std. error', summary['standard_error']
    occluded = summary[f'{kind}_occluded']
    # With nothing occluded, the annotations do not tell visibility.
    if any(value is not None for value in occluded.values()):
      yield '  visible', summary[f'{kind}_visible']
      yield '  occluded', occluded
    yield 'PCKh@0.1', summary[f'{kind}_at_0.1']

  lines = [
    *grid((label, cells(values)) for label, values in rows('groups')),
    '',
    *grid((label, cells(values)) for label, values in rows('totals')),
    'Area under the curve of standard, 0 to 0.5: '
    + cells({'auc': summary['auc']})['auc'],
  ]
  return '\n'.join(lines)


def cells(values: dict[str, float | None], form: str = '.2f') -> dict[str, str]:
  """The numbers as text, a dash for None."""
  return {
    name: '-' if value is None else format(value, form)
    for name, value in values.items()
  }


def grid(rows: Iterable[tuple[str, dict[str, str]]]) -> list[str]:
  """Lines of a label and a cell per column, aligned under the names."""
  rows = list(rows)
  widths = {name: max(len(name) + 2, 9) for name in rows[0][1]}
  header = {name: name for name in widths}
  return [
    f'{label:14}' + ''.join(f'{row[name]:>{widths[name]}}' for name in widths)
    for label, row in [('', header), *rows]
  ]
