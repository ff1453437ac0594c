"""Evaluates a finder on the whole photos of a split.

Axes: B batch, N stacks, H map px, F found squares of a photo.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hg_jax.base.config import Config
from hg_jax.evaluation.evaluate import Interrupted
from hg_jax.input import photo_examples
from hg_jax.input.photo_records import Photos
from hg_jax.metrics import boxes
from hg_jax.metrics.boxes import BoxCounts
from hg_jax.model import people_maps
from hg_jax.model.heatmaps import STRIDE
from hg_jax.model.hourglass import StackedHourglass
from hg_jax.run import processes

MOST = 32  # people of a look
# Of two found squares that overlap by more, the less sure one is left out.
SAME = 0.65


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
  """What a finder scores on a split.

  Attributes:
    counts: of the last stack's squares.
    loss: the mean over photos of the mean over stacks.
    zero_loss: that of a network that finds nobody.
  """

  counts: BoxCounts
  loss: float
  zero_loss: float

  def summary(self) -> dict[str, float]:
    """Returns the numbers to watch while training; percent."""
    recall, precision = self.counts.recall(), self.counts.precision()
    balance = 2 * recall * precision / np.maximum(recall + precision, 1e-9)
    best = int(balance.argmax())
    return {
      'loss': self.loss,
      'skill': 1 - self.loss / self.zero_loss,
      'box_ap': 100 * self.counts.average_precision(),
      'box_recall': 100 * float(recall[best]),
      'box_precision': 100 * float(precision[best]),
      'box_score': float(boxes.THRESHOLDS[best]),
    }


class PeopleEvaluator:
  """Evaluates weights of one finder on one split; compiles once."""

  def __init__(self, model: StackedHourglass, config: Config, photos: Photos):
    self._config = config
    self._photos = photos
    self._step = jax.jit(partial(_infer, model))

  def run(
    self,
    variables: dict[str, Any],
    *,
    stopped: Callable[[], bool] = lambda: False,
  ) -> Results:
    """Evaluates the finder with these weights; every process all photos.

    Raises:
      Interrupted: in all processes, if `stopped` was True in one.
    """
    variables = jax.device_put(jax.device_get(variables))
    size, batch_size = (
      self._config.data.image_size,
      self._config.evaluate.batch_size,
    )
    counts, losses = [], []
    numbers = range(-(-len(self._photos) // batch_size))
    for batch, middles, sides in photo_examples.evaluation_batches(
      self._photos, self._config, batch_size, numbers
    ):
      found, loss = jax.device_get(self._step(variables, batch))
      losses.append(loss)
      for photo, of_photo in enumerate(middles):
        centers, found_sides, scores = (column[photo] for column in found)
        kept = distinct(centers, found_sides, SAME)
        counts.append(
          boxes.count(
            centers[kept],
            found_sides[kept],
            scores[kept],
            of_photo,
            sides[photo],
            sides[photo] < photo_examples.SMALLEST * size,
          )
        )
      if processes.all_gather(np.int32(stopped())).any():
        raise Interrupted
    loss, zero_loss = np.mean(losses, axis=0)
    return Results(
      counts=sum(counts[1:], counts[0]),
      loss=float(loss),
      zero_loss=float(zero_loss),
    )


def describe(scores: dict[str, float]) -> str:
  """Says in a few words what a finder scores."""
  return (
    f'squares found {scores["box_recall"]:.1f} % (precision '
    f'{scores["box_precision"]:.1f} %, average {scores["box_ap"]:.1f} %)'
  )


def distinct(
  centers: np.ndarray,  # f[F, 2], by falling score
  sides: np.ndarray,  # f[F]
  most: float,
) -> np.ndarray:  # i[...]
  """Returns whose square overlaps no surer one by more than `most`."""
  overlaps = boxes.overlap(centers[:, None], sides[:, None], centers, sides)
  kept = []
  for found in range(len(sides)):
    if not any(overlaps[found, other] > most for other in kept):
      kept.append(found)
  return np.array(kept, int)


def find(
  model: StackedHourglass,
  variables: dict[str, Any],
  image: jax.Array,  # u8[B, S, S, 3] RGB
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the people: middles f32[B, F, 2], sides f32[B, F] px, scores."""
  maps = model.apply(variables, image, train=False)
  middles, sides, scores = people_maps.decode(maps[:, -1], count=MOST)
  return STRIDE * middles, STRIDE * sides, scores


def _infer(model, variables, batch):
  maps = model.apply(variables, batch['image'], train=False)
  middles, sides, scores = people_maps.decode(maps[:, -1], count=MOST)
  nobody = jnp.broadcast_to(jnp.array(people_maps.NOBODY), maps.shape)
  losses = [
    people_maps.loss(each, batch['heatmaps']).mean() for each in (maps, nobody)
  ]
  return (STRIDE * middles, STRIDE * sides, scores), jnp.stack(losses)
