"""Evaluates a network on a whole split.

Every person is counted once, without augmentation and with the running batch
statistics, whatever the batch size and the number of devices. Processes
share the batches, and each gets all results.
Axes: B batch, P people, S input px, H heatmap px, N stacks, K joints.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from hg_jax.base import affine
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.evaluation import inference
from hg_jax.input import resident
from hg_jax.input.records import Crops
from hg_jax.metrics import pck
from hg_jax.metrics.pck import Metric
from hg_jax.model import heatmaps
from hg_jax.model.hourglass import StackedHourglass
from hg_jax.run import processes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
  """The results of a network on a split.

  Attributes:
    metric: the metric of the counts.
    counts: N of them, one for each stack.
    loss: f64[N], each stack's mean squared error, without the flip test.
    zero_loss: the mean squared error of the all-zero prediction.
    joints: f32[P, K, 2], the last stack's predictions, px of the image.
    score: f32[P, K], the heatmaps' values at the joints.
  """

  metric: Metric
  counts: list[pck.Counts]
  loss: np.ndarray
  zero_loss: float
  joints: np.ndarray
  score: np.ndarray

  def summary(self) -> dict[str, float]:
    """Returns the numbers to watch in training; totals in percent."""
    totals = self.metric.at(self.metric.totals, self.counts[-1])
    loss = float(self.loss.mean())
    return {'loss': loss, 'skill': 1 - loss / self.zero_loss, **totals}


class Interrupted(Exception):
  """A process was asked to stop before the end of an evaluation."""


def require_scored(crops: Crops) -> None:
  """Refuses validation people without a joint that can be scored.

  Raises:
    UserError: no joint is labeled, or nobody's reference could be measured.
  """
  if not crops.people.scored().any():
    metric = pck.create_metric(crops.skeleton)
    raise UserError(
      f'none of the {len(crops)} validation people can be scored by '
      f'{metric.name()}: nobody has a labeled joint and a length above 0 to '
      f'measure errors in ({metric.unit}). Prepare more people for '
      'validation, or others, or with another --metric.'
    )


class Evaluator:
  """Evaluates weights of one network on one split; compiles once.

  Attributes:
    crops: the people of the split.
    metric: the metric of their joints.
  """

  def __init__(self, model: StackedHourglass, config: Config, crops: Crops):
    self._config = config
    self.crops = crops
    self.metric = pck.create_metric(crops.skeleton)
    mesh = Mesh(np.array(jax.local_devices()), ('batch',))
    self._replicated = NamedSharding(mesh, PartitionSpec())
    self._shared = NamedSharding(mesh, PartitionSpec('batch'))
    # Devices share a batch equally; the last batch is padded.
    devices = jax.local_device_count()
    self._batch_size = -(-config.evaluate.batch_size // devices) * devices
    if config.data.resident:
      self._stored = resident.store(crops, jax.local_devices())
      self._make_inputs = jax.jit(resident.make_inputs(config))
    self._step = jax.jit(
      partial(
        evaluate_batch,
        model,
        flip=crops.skeleton.flip if config.evaluate.flip_test else None,
        decoding=config.evaluate.decoding,
        thresholds=self.metric.thresholds,
      )
    )

  def run(
    self,
    variables: dict[str, Any],
    *,
    stopped: Callable[[], bool] = lambda: False,
  ) -> Results:
    """Evaluates the network with these weights.

    Args:
      variables: arrays of NumPy, or of JAX on this process's devices.
      stopped: called after each batch; True ends the evaluation.

    Raises:
      Interrupted: in all processes, if `stopped` returned True in one.
    """
    # The arrays may lie on the mesh of all processes.
    variables = jax.device_put(jax.device_get(variables), self._replicated)
    outputs = self._run_batches(variables, stopped)
    if processes.all_gather(np.int32(stopped())).any():
      raise Interrupted
    counts, errors, joints, score = zip(*_gathered(outputs), strict=True)
    loss, zero_loss = np.sum(errors, axis=0, dtype=np.float64).T
    people = len(self.crops)
    return Results(
      metric=self.metric,
      counts=[sum(parts[1:], parts[0]) for parts in zip(*counts, strict=True)],
      loss=loss / people,
      zero_loss=float(zero_loss[0]) / people,
      joints=np.concatenate(joints)[:people],
      score=np.concatenate(score)[:people],
    )

  def _run_batches(
    self, variables: dict[str, Any], stopped: Callable[[], bool]
  ) -> list[Any]:
    """Returns the outputs of this process's batches as NumPy arrays."""
    outputs = []
    people = jax.process_count() * self._batch_size
    bar = tqdm(
      total=len(self.crops),
      desc='Evaluating',
      unit=' people',
      leave=False,
      delay=5,  # s
      mininterval=1,
      disable=not processes.is_first_process(),
    )
    with bar:
      for batch in self._batches():
        batch = jax.device_put(batch, self._shared)
        outputs.append(self._step(variables, batch))
        # Fetch the previous batch, so that the devices are never idle.
        if len(outputs) > 1:
          outputs[-2] = jax.device_get(outputs[-2])
          bar.update(people)
        if stopped():
          break
    return jax.device_get(outputs)

  def _batches(self) -> Iterator[dict[str, Any]]:
    """Yields equally many batches in every process; some may be padding."""
    count = jax.process_count()
    turns = -(-len(self.crops) // (count * self._batch_size))
    numbers = range(jax.process_index(), turns * count, count)
    arguments = self.crops, self._config, self._batch_size, numbers
    if self._config.data.resident:
      return resident.evaluation_batches(
        self._stored, self._make_inputs, *arguments
      )
    from hg_jax.input import input_pipeline  # TensorFlow

    return input_pipeline.evaluation_batches(*arguments)


def _gathered(outputs: list[Any]) -> list[Any]:
  """Gathers all processes' outputs, in the order of the batches."""
  turns = jax.tree.map(lambda *batches: np.stack(batches), *outputs)
  everyone = processes.all_gather(turns)  # [process, turn, ...]
  return [
    jax.tree.map(lambda x: x[process, turn], everyone)  # noqa: B023
    for turn in range(len(outputs))
    for process in range(jax.process_count())
  ]


def evaluate_batch(
  model: StackedHourglass,
  variables: dict[str, Any],
  batch: dict[str, jax.Array],  # as `evaluation_batches` yields it
  *,
  flip: Sequence[int] | None,
  decoding: str,
  thresholds: Sequence[float],
) -> tuple[list[pck.Counts], jax.Array, jax.Array, jax.Array]:
  """Counts and sums over the people of a batch, leaving out padding.

  Returns:
    The counts of each stack; f32[N, 2], each stack's squared errors, summed
    over people, and those of the all-zero prediction; the last stack's
    joints, f32[B, K, 2] px of the image; and their scores, f32[B, K].
  """
  plain, averaged = inference.infer(model, variables, batch['image'], flip=flip)
  joints, score = heatmaps.decode(
    averaged, decoding=decoding
  )  # [B, N, K, 2], [B, N, K]
  joints = affine.apply(joints, batch['heatmap_to_image'][:, None])
  counts = [
    pck.count(
      joints[:, stack],
      batch['joints'],
      batch['labeled'],
      batch['visible'],
      batch['reference'],
      thresholds=thresholds,
      mask=batch['mask'],
    )
    for stack in range(joints.shape[1])
  ]
  targets = batch['heatmaps'][:, None]
  known = batch['known'][:, None, None, None].astype(targets.dtype)
  errors = jnp.stack(
    [
      (jnp.square(prediction - targets) * known).mean(axis=(2, 3, 4))
      for prediction in (plain, jnp.zeros_like(plain))
    ],
    axis=-1,
  )  # [B, N, 2]
  errors = jnp.where(batch['mask'][:, None, None], errors, 0).sum(axis=0)
  return counts, errors, joints[:, -1], score[:, -1]
