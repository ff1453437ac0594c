"""What a network can be trained to find: the joints of a person, or people.

The loop, the optimizer and the checkpoints know of neither; a `Task` reads the
data, scores the network and names the examples.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import evaluate, evaluate_people
from hg_jax.evaluation.results import people_id
from hg_jax.input import datasets, examples, photo_examples
from hg_jax.input.photo_records import Photos
from hg_jax.input.records import Crops
from hg_jax.model import people_maps

Data = Crops | Photos


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
  """What the training loop asks of a task.

  Attributes:
    unit: what an example is of.
    read: returns what to train and to validate on.
    skeleton: of the maps that the network answers.
    people_id: a checksum of who is in the data.
    evaluator: scores weights on the validation data.
    describe: says in a few words what was scored.
    batch_names: names the examples of a batch.
  """

  unit: str
  read: Callable[[Config], tuple[Data, Data]]
  skeleton: Callable[[Data], Skeleton]
  people_id: Callable[[Data], str]
  evaluator: Callable[..., Any]
  describe: Callable[[Any, dict[str, float]], str]
  batch_names: Callable[..., list[str]]


def _read_crops(config: Config) -> tuple[Crops, Crops]:
  crops = datasets.read_training(config), datasets.read(config, 'valid')
  evaluate.require_scored(crops[1])
  return crops


def _read_photos(config: Config) -> tuple[Photos, Photos]:
  if config.data.resident:
    raise UserError('config.data.resident is for config.task=joints.')
  photos = tuple(photo_examples.read(config, s) for s in ('train', 'valid'))
  for part in photos:
    photo_examples.require_people(part)
  return photos


def _describe_joints(
  evaluator: evaluate.Evaluator, values: dict[str, float]
) -> str:
  text = f'{evaluator.metric.name()} {values["all_joints"]:.2f} (all joints)'
  if 'standard' in values:
    text += f' {values["standard"]:.2f} (standard)'
  return text


def _crop_names(
  crops: Crops, config: Config, *, first: int, count: int
) -> list[str]:
  shown = examples.training(crops, config, first=first, count=count)
  people = crops.people[shown.row]
  return [
    f'{image} (person {person})'
    for image, person in zip(people.image, people.person_index, strict=True)
  ]


def _photo_names(
  photos: Photos, config: Config, *, first: int, count: int
) -> list[str]:
  rows = photo_examples.rows(photos, config, first=first, count=count)
  return photos.image[rows[:, 0]].tolist()


def _photos_id(photos: Photos) -> str:
  people = np.array([len(sides) for sides in photos.sides])
  return people_id(photos.image, people, np.arange(len(photos)))


TASKS = {
  'joints': Task(
    unit='people',
    read=_read_crops,
    skeleton=lambda crops: crops.skeleton,
    people_id=lambda crops: people_id(
      crops.people.image, crops.people.image_index, crops.people.person_index
    ),
    evaluator=evaluate.Evaluator,
    describe=_describe_joints,
    batch_names=_crop_names,
  ),
  'people': Task(
    unit='photos',
    read=_read_photos,
    skeleton=lambda photos: people_maps.SKELETON,
    people_id=_photos_id,
    evaluator=evaluate_people.PeopleEvaluator,
    describe=lambda _, values: evaluate_people.describe(values),
    batch_names=_photo_names,
  ),
}
