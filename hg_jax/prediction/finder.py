"""Finds everybody in a photo, for a network that looks at one person.

Axes: L photos, S input px, F found squares of a photo.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np

from hg_jax.annotations.boxes import ROOM, Person
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton, matches
from hg_jax.evaluation import evaluate_people, inference
from hg_jax.input import photo_examples
from hg_jax.model import hourglass
from hg_jax.run import bundle, run_config

# The least score of a found person. On MPII's 270 validation people 0.3 finds
# 1.3 points less of the joints, 0.1 half a point more with many false people.
MIN_SCORE = 0.2
_LEAST = 0.05  # Of less sure squares nobody asks.


class Finder:
  """A network that finds the squares of people in photos.

  Attributes:
    image_size: S, px; a photo is shrunk to it.
  """

  def __init__(
    self, workdir: str | Path = bundle.FINDER, *, which: str = 'best'
  ):
    """Loads a finder.

    Args:
      workdir: the folder of a run; by default the finder in the box.
      which: checkpoint: 'best', 'latest' or a step.

    Raises:
      UserError: there is no such run, or it does not find people.
    """
    folder = bundle.folder_of(workdir)
    config = run_config.load(folder)
    if config.task != 'people':
      raise UserError(
        f'{workdir} finds joints, not people; train a finder with '
        '--config=configs/people192.py.'
      )
    self.image_size = config.data.image_size
    self.step, variables = inference.load_variables(folder, config, which)
    self._variables = jax.device_put(variables)
    model = hourglass.create_model(config, joints=2)
    self._find = jax.jit(partial(evaluate_people.find, model))

  def __call__(
    self,
    pictures: Sequence[np.ndarray],  # L of u8[height, width, 3] RGB
    *,
    min_score: float = MIN_SCORE,
    most: int | None = None,
  ) -> list[list[Person]]:
    """Finds the people of photos, the surest first.

    Args:
      pictures: the photos.
      min_score: leave out people below it.
      most: how many people of a photo to return at most.
    """
    if not pictures:
      return []
    size = self.image_size
    looks = [photo_examples.letterbox(p, size) for p in pictures]
    # A power of two, so that few programs are compiled.
    count = 1 << (len(looks) - 1).bit_length()
    inputs = np.zeros((count, size, size, 3), np.uint8)
    inputs[: len(looks)] = np.stack([image for image, _ in looks])
    columns = jax.device_get(self._find(self._variables, inputs))
    people = []
    for photo, (_, scale) in enumerate(looks):
      middles, sides, scores = (column[photo] for column in columns)
      kept = evaluate_people.distinct(middles, sides, evaluate_people.SAME)
      kept = kept[scores[kept] >= max(min_score, _LEAST)][:most]
      people.append(
        [
          _person(middles[row] / scale, sides[row] / scale, scores[row])
          for row in kept
        ]
      )
    return people


def _person(middle: np.ndarray, side: float, score: float) -> Person:
  length = round(float(side) / ROOM, 1)
  x, y = (round(float(at) - length / 2, 1) for at in middle)
  return Person((x, y, length, length), score=round(float(score), 4))


def everywhere(width: int, height: int) -> Person:
  """Returns the person whose box is the whole photo."""
  return Person((0.0, 0.0, float(width), float(height)))


def suits(skeleton: Skeleton) -> bool:
  """Tells whether the finder in the box finds those who have these joints.

  It finds people: at least half of the joints must be theirs.
  """
  ours = run_config.load_skeleton(bundle.folder_of(bundle.BOX))
  found = [joint for joint in matches(ours, skeleton) if joint is not None]
  return 2 * len(found) >= len(skeleton.joints)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
  """How people are looked for where no boxes are given.

  Attributes:
    finder: None: the whole photo is one person.
    min_score: the least score of a person.
    most: of a photo's people; None: everybody.
  """

  finder: Finder | None
  min_score: float = MIN_SCORE
  most: int | None = None

  def people(self, pictures: Sequence[np.ndarray]) -> list[list[Person]]:
    """Returns the people of photos; of one in which none is found, it all."""
    whole = [[everywhere(p.shape[1], p.shape[0])] for p in pictures]
    if self.finder is None:
      return whole
    found = self.finder(pictures, min_score=self.min_score, most=self.most)
    return [people or all_ for people, all_ in zip(found, whole, strict=True)]
