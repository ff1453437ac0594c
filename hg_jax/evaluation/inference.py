"""Turns images into joints, for evaluation, prediction and export.

Axes: B batch, S input px, H = S // 4 heatmap px, N stacks, K joints.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.model import heatmaps, hourglass
from hg_jax.model.heatmaps import STRIDE
from hg_jax.model.hourglass import StackedHourglass
from hg_jax.run import bundle, checkpoint, integrity, run_config


def infer(
  model: StackedHourglass,
  variables: dict[str, Any],
  image: jax.Array,  # u8[B, S, S, 3] RGB
  *,
  flip: Sequence[int] | None,
) -> tuple[jax.Array, jax.Array]:  # f32[B, N, H, H, K] twice
  """Returns the network's heatmaps, and the heatmaps to decode.

  With the skeleton's `flip`, the second are the mean of the network's output
  and of its output for the mirrored image, mirrored back (SPEC 4.1). With
  None, both are the same.
  """
  if flip is None:
    plain = apply(model, variables, image)
    return plain, plain
  pair = image, image[:, :, ::-1]
  if 2 * image.shape[0] <= _at_once(model, image):
    both = apply(model, variables, jnp.concatenate(pair))
    plain, mirrored = jnp.split(both, 2)
  else:
    plain, mirrored = (apply(model, variables, each) for each in pair)
  return plain, (plain + heatmaps.mirror(mirrored, flip)) / 2


def apply(
  model: StackedHourglass,
  variables: dict[str, Any],
  image: jax.Array,  # u8[B, S, S, 3] RGB
) -> jax.Array:  # f32[B, N, H, H, K]
  """Returns the network's heatmaps.

  A CPU computes a few images at a time, so that their features fit into its
  caches: 256 features at 256 px, one image at a time, take two thirds of the
  time.
  """
  whole = partial(model.apply, variables, train=False)
  batch, at_once = image.shape[0], _at_once(model, image)
  if jax.devices()[0].platform != 'cpu' or not 0 < at_once < batch:
    return whole(image)
  while batch % at_once:
    at_once -= 1
  parts = image.reshape(-1, at_once, *image.shape[1:])
  answers = jax.lax.map(whole, parts)
  return answers.reshape(batch, *answers.shape[2:])


def _at_once(model: StackedHourglass, image: jax.Array) -> int:
  """Returns how many images to compute at a time; 0 if not known here."""
  if jax.device_count() > 1 or not isinstance(image.shape[0], int):
    return 0  # Devices share the batch, or an exported function takes any.
  _, height, width, _ = image.shape
  widest = height * width // 4 * model.features // 2  # in the stem
  return max(1, 2**21 // widest)


def predict(
  model: StackedHourglass,
  variables: dict[str, Any],
  image: jax.Array,  # u8[B, S, S, 3] RGB
  *,
  flip: Sequence[int] | None,
  decoding: str,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Finds the joints of the person in the middle of each image.

  Returns:
    The joints, f32[B, K, 2] px of the images; their scores, f32[B, K], the
    heatmaps' values at the joints; and the heatmaps, f32[B, H, H, K].
  """
  _, averaged = infer(model, variables, image, flip=flip)
  joints, scores = heatmaps.decode(averaged[:, -1], decoding=decoding)
  return STRIDE * joints, scores, averaged[:, -1]


def load_variables(
  workdir: Path, config: Config, which: str, *, ema: bool | None = None
) -> tuple[int, dict[str, Any]]:
  """Returns the step and the weights of a checkpoint.

  Args:
    workdir: the run's folder.
    config: the run's config.
    which: 'best', 'latest' or a step.
    ema: whether to return the moving average of the weights; by default, if
      the run keeps one.

  Raises:
    UserError: there is no such checkpoint, or it is of another network.
  """
  joints = len(run_config.load_skeleton(workdir).joints)
  like = hourglass.variables_like(config, joints=joints)
  if bundle.is_bundle(workdir):
    if which not in ('best', 'latest'):
      raise UserError(
        f'{workdir} has weights in plain files and no checkpoint {which!r}; '
        "ask for none, or for 'best'."
      )
    return 0, bundle.load(workdir, like)
  ema = bool(config.ema_decay) if ema is None else ema
  while True:
    with closing(checkpoint.Checkpoints(workdir)) as checkpoints:
      steps = _candidates(workdir, checkpoints, which)
      try:
        return _first_whole(checkpoints, steps, like, ema=ema)
      except integrity.Deleted:
        continue  # The run is training and has saved a later one.


def _candidates(
  workdir: Path, checkpoints: checkpoint.Checkpoints, which: str
) -> list[int]:
  """Returns the step asked for, then those to use if it is damaged."""
  steps = checkpoints.steps()
  if not steps:
    raise UserError(f'{workdir} holds no checkpoint; train there first.')
  named = {'best': checkpoints.best(), 'latest': checkpoints.latest()}
  step = named.get(which, int(which) if which.isdecimal() else None)
  if step not in steps:
    raise UserError(
      f'{workdir} has no checkpoint {which!r}; choose best, latest or one '
      f'of {", ".join(map(str, steps))}.'
    )
  earlier = [s for s in reversed(steps) if s < step] if which in named else []
  return [step, *earlier]


def _first_whole(
  checkpoints: checkpoint.Checkpoints,
  steps: list[int],
  like: dict[str, Any],
  *,
  ema: bool,
) -> tuple[int, dict[str, Any]]:
  for step in steps:
    try:
      return step, checkpoints.restore_weights(step, like, ema=ema)
    except integrity.Corrupt as error:
      mistake = error
      print(f'warning: {error}', file=sys.stderr)
  raise UserError(f'{mistake}; choose another checkpoint.')
