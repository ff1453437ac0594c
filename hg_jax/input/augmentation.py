"""Chooses the person and the random changes of example k from (seed, k).

No state is kept. A run that resumes at any step, on any number of machines,
sees the same examples as an uninterrupted run.

Axes: B examples.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from hg_jax.base.config import Augment

# Random numbers per example; Philox makes four per step of its counter.
_NUMBERS = 8
_BLOCK = 1000  # examples; in each block datasets have exactly their shares


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """Changes to B examples.

  Attributes:
    rotation: f64[B], degrees, counter-clockwise.
    scale: f64[B], factor on the side of the person's square.
    flip: bool[B], whether to mirror left and right.
    saturation: f64[B], factor on a pixel's distance from its gray.
    brightness: f64[B], added to a pixel, as a fraction of white.
    contrast: f64[B], factor on a pixel's distance from mid-gray.
  """

  rotation: np.ndarray
  scale: np.ndarray
  flip: np.ndarray
  saturation: np.ndarray
  brightness: np.ndarray
  contrast: np.ndarray

  def color_matrix(self) -> np.ndarray:  # f32[B, 3, 4]
    """Returns the map of colors [r, g, b, 1] -> [r, g, b], levels 0..255.

    As in pytorch_stacked_hourglass, it changes saturation, then brightness,
    then contrast.
    """
    saturation = self.saturation[:, None, None]
    contrast = self.contrast[:, None, None]
    gray = np.full((3, 3), 1 / 3)
    mix = contrast * (saturation * np.eye(3) + (1 - saturation) * gray)
    shift = contrast * 255 * self.brightness[:, None, None]
    shift = shift + 127.5 * (1 - contrast)
    shift = np.broadcast_to(shift, (len(mix), 3, 1))
    return np.concatenate([mix, shift], -1).astype(np.float32)


def sample(
  augment: Augment, *, seed: int, first: int, count: int
) -> Augmentation:
  """Draws the changes of examples first .. first + count - 1."""
  # The counter depends on the example's number only, so example k gets the
  # same numbers in any batch.
  counter = first * _NUMBERS // 4
  stream = np.random.Generator(np.random.Philox(key=seed, counter=counter))
  uniform = stream.random((count, _NUMBERS))
  signed = 2 * uniform - 1
  return Augmentation(
    rotation=augment.rotation * signed[:, 0],
    scale=1 + augment.scale * signed[:, 1],
    flip=uniform[:, 2] < augment.flip,
    saturation=1 + augment.saturation * signed[:, 3],
    brightness=augment.brightness * signed[:, 4],
    contrast=1 + augment.contrast * signed[:, 5],
  )


def rows(
  people: int, *, seed: int, first: int, count: int
) -> np.ndarray:  # i64[B]
  """Chooses the people of examples first .. first + count - 1.

  Every epoch shows every person once, in a new order: example k is number
  k % people of epoch k // people.
  """
  epoch, number = np.divmod(np.arange(first, first + count), people)
  return np.array(
    [_order(people, seed, e)[n] for e, n in zip(epoch, number, strict=True)]
  )


@functools.lru_cache(maxsize=8)
def _order(people: int, seed: int, epoch: int, *dataset: int) -> np.ndarray:
  rng = np.random.default_rng([seed, int(epoch), *dataset])
  return rng.permutation(people)


def shared_rows(
  shares: Sequence[tuple[int, float]], *, seed: int, first: int, count: int
) -> np.ndarray:  # i64[B]
  """Chooses people of several datasets, each for its share of the examples.

  Each 1,000 examples show the datasets in exactly these shares. The people of
  a dataset come in epochs of their own. `shares` has the number of people and
  the share of each dataset; the shares may have any sum. The rows of a dataset
  follow those of the dataset before it.
  """
  starts = np.cumsum([0, *(people for people, _ in shares)])
  shown = []
  for k in range(first, first + count):
    block, slot = divmod(k, _BLOCK)
    chosen = _datasets(tuple(share for _, share in shares), seed, block)
    dataset = chosen[slot]
    number = block * int((chosen == dataset).sum())
    number += int((chosen[:slot] == dataset).sum())
    epoch, number = divmod(number, shares[dataset][0])
    order = _order(shares[dataset][0], seed, epoch, int(dataset))
    shown.append(starts[dataset] + order[number])
  return np.array(shown)


@functools.lru_cache(maxsize=4)
def _datasets(
  shares: tuple[float, ...], seed: int, block: int
) -> np.ndarray:  # i64[_BLOCK]
  """Returns the dataset of each example in a block of 1,000."""
  ends = np.rint(_BLOCK * np.cumsum(shares) / np.sum(shares)).astype(int)
  datasets = np.searchsorted(ends, np.arange(_BLOCK), side='right')
  return np.random.default_rng([seed, block]).permutation(datasets)


def margin(augment: Augment) -> float:
  """Returns the side of the square that holds all changed crops.

  The unit is the side of the person's square.
  """
  angle = math.radians(min(augment.rotation, 45.0))
  return (1 + augment.scale) * (math.cos(angle) + math.sin(angle))
