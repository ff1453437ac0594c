"""From photos to people's joints, in Python.

  predictor = Predictor()  # the networks in the box
  found = predictor('photo.jpg')  # everybody; people=1 the surest
  found.joints, found.scores, found.draw()

Axes: P people, K joints, S input px, H = S // 4 heatmap px.
"""

import dataclasses
import io
from collections.abc import Sequence
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
from hg_jax.prediction import finder as finder_lib
from hg_jax.prediction import tracking
from hg_jax.prediction.finder import Finder, Search
from hg_jax.run import bundle, run_config


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
    """Draws the joints that score `threshold` or more; u8[..., ..., 3] RGB."""
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
        'color': color_text(number),
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


def color_text(number: int) -> str:
  """Returns the color in which a person is drawn, such as '#ff8c00'."""
  return '#{:02x}{:02x}{:02x}'.format(*album.color_of(number))


class Predictor:
  """Finds people in photos, and their joints.

  Attributes:
    skeleton: of the joints that it finds.
    image_size: S, px, of what the network sees of a person.
    batch_size: people that the network takes at a time, at most; fewer are
      padded to a power of two, so few programs are compiled.
    step: of the checkpoint; 0 for weights in plain files.
    finder: what finds the people; None: a photo is one person.
  """

  def __init__(
    self,
    workdir: str | Path = bundle.BOX,
    *,
    which: str | int = 'best',
    finder: str | Path = 'auto',
    flip_test: bool = True,
    batch_size: int = 8,
  ):
    """Loads a network, and a finder.

    Args:
      workdir: the folder of a run, trained or written by `convert`; by
        default the network that comes with the package.
      which: checkpoint: 'best', 'latest' or a step.
      finder: the folder of a run that finds people, or 'none'. By default the
        finder that comes with the package, where the joints are people's.
      flip_test: average with the mirrored image: twice the work, and about
        a point of PCKh better.
      batch_size: people at a time.

    Raises:
      UserError: there is no such run or checkpoint.
    """
    folder = bundle.folder_of(workdir)
    config = run_config.load(folder)
    if config.task != 'joints':
      raise UserError(f'{workdir} finds people; give it as the finder.')
    self.skeleton = run_config.load_skeleton(folder)
    self.step, variables = inference.load_variables(folder, config, str(which))
    self.image_size = config.data.image_size
    self.batch_size = batch_size
    self._variables = jax.device_put(variables)
    model = hourglass.create_model(config, joints=len(self.skeleton.joints))
    predict = partial(inference.predict, decoding=config.evaluate.decoding)
    flip = self.skeleton.flip if flip_test else None
    self._predict = jax.jit(partial(predict, model, flip=flip))
    if finder == 'auto':
      finder = bundle.FINDER if finder_lib.suits(self.skeleton) else 'none'
    self.finder = None if finder == 'none' else Finder(finder)

  def __call__(
    self,
    image: Photo | Sequence[Photo],
    box: Sequence[float] | None = None,
    *,
    boxes: Sequence | None = None,
    people: int | None = None,
    min_score: float = finder_lib.MIN_SCORE,
  ) -> Prediction | list[Prediction]:
    """Finds the people of a photo, or of each of many.

    Args:
      image: a path, an image of Pillow's, an array, or a list of these. An
        array is RGB, RGBA or gray, of bytes, 16 bits, or floats from 0 to 1.
      box: x, y, width and height of the person's box, px of the image;
        without, people are found.
      boxes: many people's boxes; with a list of images, such a list for each.
      people: how many to find at most, the surest; by default everybody.
      min_score: the least score of a person who is found.

    Raises:
      UserError: a file is no image, or a box lies outside it.
      ValueError: an array is no image, or boxes are not for each of them; of
        a list the message begins with the image's position, from 0.
    """
    if box is not None and boxes is not None:
      raise ValueError('Give box or boxes, not both.')
    how = {'people': people, 'min_score': min_score}
    if not isinstance(image, (list, tuple)):
      return self._predict_photo(image, [box] if box else boxes, **how)
    each = [box and [box]] * len(image) if boxes is None else list(boxes)
    if len(each) != len(image):
      raise ValueError(
        f'There are {len(image)} images, and boxes for {len(each)}; give a '
        'list of boxes for each image.'
      )
    found = []
    for number, its in enumerate(each):
      try:
        found.append(self._predict_photo(image[number], its, **how))
      except (UserError, ValueError) as error:
        raise type(error)(f'image[{number}]: {error}') from error
    return found

  def _predict_photo(
    self, image: Photo, boxes: Sequence | None, *, people, min_score
  ) -> Prediction:
    picture = photos.as_rgb(image)
    looked_for = boxes is None
    if looked_for:
      search = Search(finder=self.finder, min_score=min_score, most=people)
      (found,) = search.people([picture])
      boxes = [person.box for person in found]
    boxes = [boxes_lib.box_of(each) for each in boxes]
    inputs, input_to_image = self.look(picture, boxes)
    joints, scores, _ = self.people(inputs, heatmaps=False)
    joints = affine.apply(joints, input_to_image).astype(np.float32)
    kept = list(range(len(boxes)))
    if looked_for and self.finder:
      kept = tracking.distinct(joints, scores)
    return Prediction(
      joints=joints[kept],
      scores=scores[kept],
      boxes=np.array(boxes, np.float64).reshape(-1, 4)[kept],
      ids=range(1, len(kept) + 1),
      skeleton=self.skeleton,
      image=picture,
    )

  def look(
    self,
    picture: np.ndarray,  # u8[height, width, 3] RGB
    boxes: Sequence[Sequence[float]],  # P of x, y, width, height; px
  ) -> tuple[np.ndarray, np.ndarray]:  # u8[P, S, S, 3] RGB, f64[P, 3, 3]
    """Cuts people out of a photo; returns the maps from that to the photo, too.

    Raises:
      UserError: a box is not one, or lies outside the photo.
    """
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
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Finds the joints of people as `look` shows them.

    Args:
      inputs: the people.
      size: how many the network takes at a time, fewer padded to so many; by
        default the least power of two, at most `batch_size`.
      heatmaps: fetch them, too.

    Returns:
      The joints, f32[P, K, 2] px of the inputs; scores, f32[P, K]; and
      heatmaps, f32[P, H, H, K], or None.

    Raises:
      ValueError: the inputs are not as `look` shows them.
    """
    shape = (self.image_size, self.image_size, 3)
    if inputs.dtype != np.uint8 or inputs.shape[1:] != shape:
      raise ValueError(
        f'inputs are {inputs.dtype}{list(inputs.shape)}; they must be '
        f'uint8[people, {", ".join(map(str, shape))}], as `look` returns them.'
      )
    count, side = len(inputs), self.image_size // 4
    size = size or min(1 << max(count - 1, 0).bit_length(), self.batch_size)
    joints = len(self.skeleton.joints)
    columns = (
      [np.zeros((0, joints, 2), np.float32)],
      [np.zeros((0, joints), np.float32)],
      [np.zeros((0, side, side, joints), np.float32)],
    )
    for start in range(0, count, size):
      part = inputs[start : start + size]
      padding = [(0, size - len(part)), (0, 0), (0, 0), (0, 0)]
      found = self._predict(self._variables, np.pad(part, padding))
      found = jax.device_get(found if heatmaps else found[:2])
      for column, values in zip(columns, found, strict=False):
        column.append(values[: len(part)])
    joints, scores, maps = map(np.concatenate, columns)
    return joints, scores, maps if heatmaps else None
