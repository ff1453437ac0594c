"""From an image to joints: what evaluation, prediction and export share.

  predictor = Predictor.from_workdir('runs/adam16')
  joints, scores = predictor(image, box=(120, 40, 200, 480))

Axes: B batch, P people, S input px, H = S // 4 heatmap px, N stacks, K joints.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hg_jax.base import affine
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.data import boxes, images
from hg_jax.model import heatmaps, hourglass
from hg_jax.model.heatmaps import STRIDE
from hg_jax.model.hourglass import StackedHourglass
from hg_jax.run import checkpoint


def infer(
  model: StackedHourglass,
  variables: dict[str, Any],
  image: jax.Array,  # u8[B, S, S, 3] RGB
  *,
  flip: Sequence[int] | None,
) -> tuple[jax.Array, jax.Array]:  # f32[B, N, H, H, K] twice
  """The network's heatmaps, and those to decode.

  With the skeleton's `flip` the latter are the mean of the network's answer
  and of its answer to the mirrored image, mirrored back (SPEC 4.1); with None
  they are the same.
  """
  plain = model.apply(variables, image, train=False)
  if flip is None:
    return plain, plain
  mirrored = model.apply(variables, image[:, :, ::-1], train=False)
  return plain, (plain + heatmaps.mirror(mirrored, flip)) / 2


def predict(
  model: StackedHourglass,
  variables: dict[str, Any],
  image: jax.Array,  # u8[B, S, S, 3] RGB
  *,
  flip: Sequence[int] | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The person in the middle of each image.

  Returns:
    The joints, f32[B, K, 2] px of the images; their scores, f32[B, K], the
    heatmaps' values there; and the heatmaps, f32[B, H, H, K].
  """
  _, averaged = infer(model, variables, image, flip=flip)
  joints, scores = heatmaps.decode(averaged[:, -1])
  return STRIDE * joints, scores, averaged[:, -1]


def load_variables(
  workdir: Path, config: Config, which: str, *, ema: bool | None = None
) -> tuple[int, dict[str, Any]]:
  """The step and the weights of a checkpoint.

  Args:
    workdir: the run's folder.
    config: the run's.
    which: 'best', 'latest' or a step.
    ema: take their moving average; by default, if the run keeps it.

  Raises:
    UserError: there is no such checkpoint, or it is of another network.
  """
  if not (workdir / 'checkpoints').is_dir():
    raise UserError(f'{workdir} holds no checkpoint; train there first.')
  checkpoints = checkpoint.Checkpoints(workdir)
  named = {'best': checkpoints.best(), 'latest': checkpoints.latest()}
  steps = checkpoints.steps()
  if not steps:
    raise UserError(f'{workdir} holds no checkpoint; train there first.')
  step = named.get(which, int(which) if which.isdecimal() else None)
  if step not in steps:
    raise UserError(
      f'{workdir} has no checkpoint {which!r}; choose best, latest or one '
      f'of {", ".join(map(str, steps))}.'
    )
  joints = len(checkpoint.load_skeleton(workdir).joints)
  like = hourglass.variables_like(config, joints=joints)
  ema = bool(config.ema_decay) if ema is None else ema
  # Where no step was asked for, the one before a damaged one will do.
  others = [s for s in reversed(steps) if s < step] if which in named else []
  for candidate in [step, *others]:
    try:
      variables = checkpoints.restore_weights(candidate, like, ema=ema)
    except checkpoint.Corrupt as error:
      mistake = error
      print(f'warning: {error}', file=sys.stderr)
      continue
    checkpoints.close()
    return candidate, variables
  raise UserError(f'{mistake}; choose another checkpoint.')


class Predictor:
  """Finds the joints of people in photos.

  Compiled once for each number of people asked for at a time, whatever the
  sizes of the images.

  Attributes:
    skeleton: of the joints that it finds.
    image_size: S, px, of what the network sees of a person.
  """

  def __init__(
    self,
    model: StackedHourglass,
    variables: dict[str, Any],
    skeleton: Skeleton,
    *,
    image_size: int,
    flip_test: bool = True,
  ):
    self.skeleton = skeleton
    self.image_size = image_size
    self._variables = jax.device_put(variables)
    flip = skeleton.flip if flip_test else None
    self._predict = jax.jit(partial(predict, model, flip=flip))

  @classmethod
  def from_workdir(
    cls,
    workdir: str | Path,
    *,
    which: str = 'best',
    flip_test: bool = True,
  ) -> 'Predictor':
    """The network of a run, trained or written by `convert`.

    Args:
      workdir: the run's folder.
      which: checkpoint: 'best', 'latest' or a step.
      flip_test: average with the mirrored image: twice the work, and about
        a point of PCKh better.

    Raises:
      UserError: there is no such run or checkpoint.
    """
    workdir = Path(workdir)
    config = checkpoint.load_config(workdir)
    skeleton = checkpoint.load_skeleton(workdir)
    _, variables = load_variables(workdir, config, which)
    return cls(
      hourglass.create_model(config, joints=len(skeleton.joints)),
      variables,
      skeleton,
      image_size=config.data.image_size,
      flip_test=flip_test,
    )

  def __call__(
    self,
    image: np.ndarray,  # u8[height, width, 3] RGB
    box: Sequence[float] | None = None,
  ) -> tuple[np.ndarray, np.ndarray]:  # f32[K, 2] px of the image, f32[K]
    """The joints of one person, in the order of `skeleton.joints`.

    Args:
      image: the photo, of any size.
      box: x, y, width and height of the person's box, px of the image; by
        default the whole image.

    Returns:
      The joints, (x, y) in the continuous coordinates of `affine`, and their
      scores: about 1 where the network is sure, about 0 where it is not.

    Raises:
      UserError: the box is none, or lies outside the image.
      ValueError: the image is not of bytes, RGB.
    """
    seen, input_to_image = self.look(image, box)
    joints, scores, _ = self.people(seen[None])
    return affine.apply(joints[0], input_to_image).astype(np.float32), scores[0]

  def look(
    self,
    image: np.ndarray,  # u8[height, width, 3] RGB
    box: Sequence[float] | None = None,
  ) -> tuple[np.ndarray, np.ndarray]:  # u8[S, S, 3] RGB, f64[3, 3]
    """What the network sees of a person, and the map from that to the image.

    Arguments and errors are those of `__call__`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
      raise ValueError(
        f'The image is {image.dtype}{list(image.shape)}; it must be '
        'uint8[height, width, 3], RGB.'
      )
    height, width = image.shape[:2]
    center, side = boxes.square(
      (0, 0, width, height) if box is None else box, width, height
    )
    seen, image_to_input = images.inputs_of(
      image, [center], [side], self.image_size
    )
    return seen[0], np.linalg.inv(image_to_input[0])

  def people(
    self,
    seen: np.ndarray,  # u8[P, S, S, 3] RGB
  ) -> tuple[np.ndarray, np.ndarray, jax.Array]:
    """The joints of people as `look` sees them, all at once.

    Returns:
      The joints, f32[P, K, 2] px of what is seen; scores, f32[P, K]; and
      heatmaps, f32[P, H, H, K], left on the device.
    """
    joints, scores, maps = self._predict(self._variables, seen)
    return *jax.device_get((joints, scores)), maps
