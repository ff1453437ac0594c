"""From photos to people's joints, in Python.

  predictor = Predictor()  # the network in the box; or Predictor('runs/adam16')
  found = predictor('photo.jpg', box=(120, 40, 200, 480))
  found.joints, found.scores, found.draw()

Axes: P people, K joints, S input px, H = S // 4 heatmap px.
"""

import dataclasses
import io
import math
import numbers
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from hg_jax.annotations import boxes as boxes_lib
from hg_jax.base import affine
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import inference
from hg_jax.input import crops as cropping
from hg_jax.media import photos
from hg_jax.media.photos import Photo
from hg_jax.model import hourglass
from hg_jax.pictures import album
from hg_jax.prediction import search, tracking
from hg_jax.run import bundle, run_config

_GLANCE_STACKS = 2  # the first ones answer, too, and the search looks often


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
  """The people found in one image.

  Attributes:
    joints: f32[P, K, 2], (x, y) px of the image, in the continuous
      coordinates of `affine`, in the order of `skeleton.joints`.
    scores: f32[P, K], about 1 where the network is sure, about 0 where not.
    boxes: f64[P, 4], x, y, width and height in px: where it looked.
    ids: numbers of the people, from 1, or of their tracks.
    skeleton: names and limbs of the joints.
    image: u8[height, width, 3] RGB, which `draw` draws on.
  """

  joints: np.ndarray
  scores: np.ndarray
  boxes: np.ndarray
  ids: Sequence[int]
  skeleton: Skeleton
  image: np.ndarray = dataclasses.field(repr=False)

  def draw(self, *, threshold: float = tracking.SEEN) -> np.ndarray:
    """Draws the joints that score `threshold` or more; u8[..., ..., 3] RGB.

    Raises:
      ValueError: `threshold` is no number.
    """
    is_number = isinstance(threshold, numbers.Real) and not math.isnan(
      threshold
    )
    _require(is_number, 'threshold', threshold, 'a number')
    return album.overlay(
      album.resized(self.image),
      self.image.shape[:2],
      self.joints,
      self.scores,
      self.ids,
      self.skeleton,
      threshold=threshold,
    )

  def _repr_png_(self) -> bytes:
    """The drawn people, which a notebook shows where this is a cell's value."""
    file = io.BytesIO()
    Image.fromarray(self.draw()).save(file, 'png')
    return file.getvalue()

  def to_json(self) -> list[dict[str, Any]]:
    """The people, as `json.dumps` takes them: px to 0.01, scores to 0.0001."""
    return to_json(
      self.joints, self.scores, self.boxes, self.ids, self.skeleton
    )


def to_json(
  joints: np.ndarray,  # f[P, K, 2] px
  scores: np.ndarray,  # f[P, K]
  boxes: Sequence[Sequence[float]],  # P of x, y, width, height; px
  ids: Sequence[int],
  skeleton: Skeleton,
) -> list[dict[str, Any]]:
  """People as predictions.jsonl has them."""
  people = []
  for person, number in enumerate(ids):
    xys = np.round(joints[person].astype(float), 2).tolist()
    values = np.round(scores[person].astype(float), 4).tolist()
    people.append(
      {
        'id': int(number),
        'color': '#{:02x}{:02x}{:02x}'.format(*album.color_of(number)),
        'box': np.round(np.asarray(boxes[person], float), 2).tolist(),
        'score': round(tracking.person_score(scores[person]), 4),
        'joints': {
          name: {'x': x, 'y': y, 'score': value}
          for name, (x, y), value in zip(
            skeleton.joints, xys, values, strict=True
          )
        },
      }
    )
  return people


class Predictor:
  """Finds the joints of people in photos.

  Attributes:
    skeleton: of the joints that it finds.
    image_size: S, px, of what the network sees of a person.
    batch_size: people that the network takes at a time, at most; fewer are
      padded to a power of two, so few programs are compiled.
    step: of the checkpoint; 0 for weights in plain files.
  """

  def __init__(
    self,
    workdir: str | Path = bundle.BOX,
    *,
    which: str | int = 'best',
    flip_test: bool = True,
    batch_size: int = 8,
  ):
    """Loads a network.

    Args:
      workdir: the folder of a run, trained or written by `convert`; by
        default the network that comes with the package.
      which: checkpoint: 'best', 'latest' or a step.
      flip_test: average with the mirrored image: twice the work, and about
        a point of PCKh better.
      batch_size: people at a time.

    Raises:
      UserError: there is no such run or checkpoint.
      ValueError: an argument is of another kind, or no person at a time.
    """
    is_path = isinstance(workdir, (str, os.PathLike))
    _require(is_path, 'workdir', workdir, "a run's folder")
    _require_bool('flip_test', flip_test)
    _require_count('batch_size', batch_size)
    folder = bundle.folder_of(workdir)
    config = run_config.load(folder)
    self.skeleton = run_config.load_skeleton(folder)
    self.step, variables = inference.load_variables(folder, config, str(which))
    self.image_size = config.data.image_size
    self.batch_size = int(batch_size)
    self._variables = jax.device_put(variables)
    model = hourglass.create_model(config, joints=len(self.skeleton.joints))
    first = model.clone(stacks=min(model.stacks, _GLANCE_STACKS))
    predict = partial(inference.predict, decoding=config.evaluate.decoding)
    self._glance = jax.jit(partial(predict, first, flip=None))
    flip = self.skeleton.flip if flip_test else None
    self._predict = jax.jit(partial(predict, model, flip=flip))

  def __call__(
    self,
    image: Photo | Sequence[Photo],
    box: Sequence[float] | None = None,
    *,
    boxes: Sequence | None = None,
  ) -> Prediction | list[Prediction]:
    """Finds the people of a photo, or of each of many.

    Args:
      image: a path, an image of Pillow's, an array, or a list of these. An
        array is RGB, RGBA or gray, of bytes, 16 bits, or floats from 0 to 1.
      box: x, y, width and height of the person's box, px of the image;
        without, the person is searched for.
      boxes: many people's boxes; with a list of images, such a list for each.

    Raises:
      UserError: a file is no image, or a box lies outside it.
      ValueError: an array is no image, or boxes are not for each of them; of
        a list the message begins with the image's position, from 0.
    """
    if boxes is not None:
      if box is not None:
        raise ValueError('Give box or boxes, not both.')
      boxes = _listed(boxes)
    if isinstance(image, (list, tuple)):
      each = [None] * len(image) if boxes is None else boxes
      if len(each) != len(image):
        raise ValueError(
          f'There are {len(image)} images, and boxes for {len(each)}; give a '
          'list of boxes for each image.'
        )
      found = []
      for number, its in enumerate(each):
        try:
          found.append(self(image[number], box, boxes=its))
        except UserError as error:
          raise UserError(f'image[{number}]: {error}') from error
        except ValueError as error:
          raise ValueError(f'image[{number}]: {error}') from error
      return found
    picture = photos.as_rgb(image)
    if boxes is None:
      boxes = [self.search(picture) if box is None else box]
    boxes = [boxes_lib.box_of(each) for each in boxes]
    inputs, input_to_image = self.look(picture, boxes)
    joints, scores, _ = self.people(inputs, heatmaps=False)
    return Prediction(
      joints=affine.apply(joints, input_to_image).astype(np.float32),
      scores=scores,
      boxes=np.array(boxes, np.float64).reshape(-1, 4),
      ids=range(1, len(boxes) + 1),
      skeleton=self.skeleton,
      image=picture,
    )

  def search(
    self,
    picture: Photo,
    *,
    closer: bool = True,
  ) -> boxes_lib.Box:
    """The box of the person whom glances at some places are surest of.

    Args:
      picture: the photo.
      closer: look at smaller places, too, where no person is found for sure.

    Raises:
      UserError: the file is no image.
      ValueError: the array is no image, or `closer` is not True or False.
    """
    _require_bool('closer', closer)
    picture = photos.as_rgb(picture)
    seeking = search.Search(picture, self.image_size, closer=closer)
    while seeking.box is None:
      inputs, input_to_image = seeking.look()
      joints, scores, _ = self.people(inputs, heatmaps=False, glance=True)
      seeking.tell(affine.apply(joints, input_to_image), scores)
    return seeking.box

  def look(
    self,
    picture: Photo,
    boxes: Sequence[Sequence[float]],  # P of x, y, width, height; px
  ) -> tuple[np.ndarray, np.ndarray]:  # u8[P, S, S, 3] RGB, f64[P, 3, 3]
    """What the network sees of people, and the maps from that to the image.

    Raises:
      UserError: a box is none, or lies outside the image; or the file is none.
      ValueError: the array is no image, or the boxes are no list.
    """
    picture, boxes = photos.as_rgb(picture), _listed(boxes)
    height, width = picture.shape[:2]
    squares = [boxes_lib.square(box, width, height) for box in boxes]
    inputs, image_to_input = cropping.inputs_of(
      picture,
      [center for center, _ in squares],
      [side for _, side in squares],
      self.image_size,
    )
    return inputs, np.linalg.inv(image_to_input)

  def people(
    self,
    inputs: np.ndarray,  # u8[P, S, S, 3] RGB
    *,
    size: int | None = None,
    heatmaps: bool = True,
    glance: bool = False,
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Finds the joints of people as `look` shows them.

    Args:
      inputs: the people.
      size: how many the network takes at a time, fewer padded to so many; by
        default the least power of two, at most `batch_size`.
      heatmaps: fetch them, too.
      glance: by the first two stacks, and without the flip test.

    Returns:
      The joints, f32[P, K, 2] px of the inputs; scores, f32[P, K]; and
      heatmaps, f32[P, H, H, K], or None.

    Raises:
      ValueError: the inputs are not as `look` shows them, or another argument
        is of another kind, or no person at a time.
    """
    self._require_inputs(inputs)
    if size is not None:
      _require_count('size', size)
    _require_bool('heatmaps', heatmaps)
    _require_bool('glance', glance)
    count, joints = len(inputs), len(self.skeleton.joints)
    if size is None:
      size = min(1 << max(count - 1, 0).bit_length(), self.batch_size)
    predict = self._glance if glance else self._predict
    columns = [], [], []
    for start in range(0, count, size):
      part = inputs[start : start + size]
      padding = [(0, size - len(part)), (0, 0), (0, 0), (0, 0)]
      found = predict(self._variables, np.pad(part, padding))
      found = jax.device_get(found if heatmaps else found[:2])
      for column, values in zip(columns, found, strict=False):
        column.append(values[: len(part)])
    if not count:
      side = self.image_size // 4
      columns = (
        [np.zeros((0, joints, 2), np.float32)],
        [np.zeros((0, joints), np.float32)],
        [np.zeros((0, side, side, joints), np.float32)],
      )
    found = [np.concatenate(column) for column in columns if column]
    return found[0], found[1], found[2] if heatmaps else None

  def _require_inputs(self, inputs: np.ndarray) -> None:
    shape, side = getattr(inputs, 'shape', ()), self.image_size
    dtype = getattr(inputs, 'dtype', type(inputs).__name__)
    if dtype != np.uint8 or len(shape) != 4 or shape[1:] != (side, side, 3):
      raise ValueError(
        f'inputs are {dtype}{list(shape) if shape else ""}; they must be '
        f'uint8[people, {side}, {side}, 3], as `look` returns them.'
      )


def _require(allowed: bool, name: str, value: object, wanted: str) -> None:
  if not allowed:
    shown = ' '.join(reprlib.repr(value).split())  # An array's has many lines.
    raise ValueError(f'{name} is {shown}; it must be {wanted}.')


def _require_bool(name: str, value: object) -> None:
  is_bool = isinstance(value, (bool, np.bool_))
  _require(is_bool, name, value, 'True or False')


def _require_count(name: str, value: object) -> None:
  is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
  _require(is_whole and value >= 1, name, value, 'a whole number of 1 or more')


def _listed(boxes: Iterable) -> list:
  try:
    if isinstance(boxes, (str, bytes, Mapping)):
      raise TypeError  # They have parts, but no boxes.
    return list(boxes)
  except TypeError as error:
    raise ValueError(
      f'boxes are {boxes!r}; they must be a list of x, y, width and height of '
      'each person.'
    ) from error
