"""Reads MPII's people from JSON, a list of people in one of two forms.

CPM and pytorch-pose  img_paths, objpos, scale_provided, joint_self 16 x
                      [x, y, visible], annolist_index and people_index from
                      1, and perhaps isValidation
HRNet and mmpose      image, center, scale, joints 16 x [x, y], joints_vis
                      16. They lower the numbers of the official .mat by 1
                      when they read them; `mpii` reads the .mat as it is.
"""

import collections
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from hg_jax.base import typed_json
from hg_jax.base.errors import UserError

Point = tuple[float, float]
Index = Annotated[int, Meta(ge=0, lt=2**31)]
Sixteen = Meta(min_length=16, max_length=16)


class Person(msgspec.Struct):
  img_paths: str
  objpos: Point
  scale_provided: float
  joint_self: Annotated[list[tuple[float, float, float]], Sixteen]
  annolist_index: Index
  people_index: Index
  isValidation: bool | float = False


class HrnetPerson(msgspec.Struct):
  image: str
  center: Point
  scale: float
  joints: Annotated[list[Point], Sixteen]
  joints_vis: Annotated[list[float], Sixteen]


def read(path: Path) -> tuple[dict[str, Any], np.ndarray | None]:
  """Reads the people of either form.

  Returns:
    The columns of `mpii._from_raw`, and bool[P], who is marked for
    validation; None for HRNet's form, which has no marks.

  Raises:
    UserError: names the person and the field that is wrong.
  """
  data = typed_json.read(path)
  if b'"joints_vis"' in data:
    return _hrnet_columns(_rows(data, HrnetPerson, path)), None
  rows = _rows(data, Person, path)
  for number, row in enumerate(rows):
    if row.isValidation not in (0, 1):
      raise UserError(
        f'{path}: [{number}].isValidation: expected 0 or 1, not '
        f'{row.isValidation:g}.'
      )
  columns = {
    'image': [row.img_paths for row in rows],
    'center': [row.objpos for row in rows],
    'scale': [row.scale_provided for row in rows],
    'joints': [row.joint_self for row in rows],
    'image_index': [row.annolist_index - 1 for row in rows],
    'person_index': [row.people_index - 1 for row in rows],
  }
  return columns, np.array([row.isValidation == 1 for row in rows])


def _rows(data: bytes, kind: type, path: Path) -> list:
  rows = typed_json.decode(data, list[kind], path)
  if not rows:
    raise UserError(f'{path} has no people.')
  return rows


def _hrnet_columns(rows: list[HrnetPerson]) -> dict[str, Any]:
  """Numbers images, and the people of each, as they come, from 0."""
  images: dict[str, int] = {}
  people = collections.Counter()
  image_index, person_index = [], []
  for row in rows:
    image_index.append(images.setdefault(row.image, len(images)))
    person_index.append(people[row.image])
    people[row.image] += 1
  joints = np.array([row.joints for row in rows])
  missing = (joints == 0).all(axis=-1) | (joints == -1).all(axis=-1)
  joints = np.where(missing[..., None], 0, joints)
  visible = np.array([row.joints_vis for row in rows])
  return {
    'image': [row.image for row in rows],
    'center': [row.center for row in rows],
    'scale': [row.scale for row in rows],
    'joints': np.concatenate([joints, visible[..., None]], axis=-1),
    'image_index': image_index,
    'person_index': person_index,
  }
