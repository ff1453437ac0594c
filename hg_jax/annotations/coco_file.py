"""Reads COCO keypoints JSON: people or anything else, with any joints.

  {"images": [{"id": 7, "file_name": "a.jpg"}, ...],
   "categories": [{"id": 1, "name": "horse", "keypoints": ["nose", ...],
                   "skeleton": [[1, 2], ...]}, ...],
   "annotations": [{"image_id": 7, "category_id": 1, "bbox": [x, y, w, h],
                    "keypoints": [x, y, v, ...], "iscrowd": 0}, ...]}

v is 0 where a joint is not labeled, so nobody knows where it is; 1 where it is
hidden and 2 where it is seen. 'skeleton' (pairs counted from 1), 'bbox' and
'iscrowd' may be absent or null. Numbers may be written as text.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec
import numpy as np

from hg_jax.base import typed_json
from hg_jax.base.errors import UserError

Id = int | float | str


class Image(msgspec.Struct, gc=False):
  id: Id
  file_name: Annotated[str, msgspec.Meta(min_length=1)]
  width: float | None = None
  height: float | None = None

  def __post_init__(self):
    self.id = as_number(self.id)

  @property
  def name(self) -> str:
    return str(PurePosixPath(self.file_name.replace('\\', '/')))

  @property
  def size(self) -> tuple[float, float] | None:
    """The width and height, px, where the file has both."""
    both = self.width or 0, self.height or 0
    return both if min(both) > 0 else None


class Category(msgspec.Struct):
  id: Id
  name: str | int
  keypoints: list[str | int] | None = None
  skeleton: list[tuple[int, int]] | None = None

  def __post_init__(self):
    self.id = as_number(self.id)


class Annotation(msgspec.Struct, gc=False):
  image_id: Id
  id: Id | None = None
  category_id: Id | None = None
  bbox: list[float] | None = None
  # x, y, v of each joint, f64[3K].
  keypoints: np.ndarray | None = None
  iscrowd: bool | float | None = None
  area: float | str | None = None

  def __post_init__(self):
    self.image_id = as_number(self.image_id)
    self.category_id = as_number(self.category_id)

  @property
  def box(self) -> list[float] | None:
    """The box, where it has a size."""
    box = self.bbox
    return box if box and len(box) == 4 and min(box[2:]) > 0 else None


class File(msgspec.Struct):
  """A file of COCO keypoints."""

  images: list[Image]
  annotations: list[Annotation]
  categories: list[Category]

  def truth(self) -> dict[str, Any]:
    """Returns what `metrics.oks` takes, with every entry in its place.

    Boxes and areas that are missing, 0 or not numbers are left out. So are
    the joints of annotations whose image is missing.
    """
    images = [{'id': i.id, 'file_name': i.file_name} for i in self.images]
    ids = {image.id for image in self.images}
    people = []
    for entry in self.annotations:
      known = entry.keypoints is not None and entry.image_id in ids
      fields = {
        'image_id': entry.image_id,
        'category_id': entry.category_id,
        'iscrowd': int(bool(entry.iscrowd)),
        'keypoints': entry.keypoints.tolist() if known else [],
        'bbox': entry.box,
        'area': _positive(entry.area),
      }
      people.append({k: v for k, v in fields.items() if v is not None})
    return {'images': images, 'annotations': people}


def decode(data: bytes, path: Path) -> File:
  """Reads the contents of a file.

  Raises:
    UserError: names the place that is wrong, such as annotations[3].bbox[2].
  """
  try:
    return typed_json.decode(data, File, path, hook=_array)
  except UserError:
    keys = typed_json.decode(data, dict[str, Any], path).keys()
    if keys >= set(File.__struct_fields__):
      raise
    raise UserError(
      f'{path} is not COCO keypoints JSON: it has '
      f'{", ".join(keys) or "nothing"}, where images, annotations and '
      'categories are needed.'
    ) from None


def _array(_: type, values: Any) -> np.ndarray:  # f64[...]
  try:
    return np.array(values, np.float64).ravel()
  except (OverflowError, TypeError, ValueError):
    raise ValueError('Expected numbers: x, y, v of each joint') from None


def as_number(name: Id | None) -> Id | None:
  """Returns 7 for '7': tools write ids both ways."""
  is_number = isinstance(name, str) and name.isdecimal()
  return int(name) if is_number and str(int(name)) == name else name


def _positive(number: float | str | None) -> float | None:
  try:
    return float(number or 0) if 0 < float(number or 0) < np.inf else None
  except ValueError:
    return None
