"""Finds everybody whom annotations name in an image, for the finder to learn.

`mpii`, `coco` and `lsp` read people with joints, of whom each belongs to a
split. Annotations name others, too: MPII's `objpos_other` and the rest of its
`annorect`, and COCO's boxes without keypoints.

Axes: P people.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hg_jax.annotations import coco, coco_file, mpii, mpii_mat
from hg_jax.annotations.boxes import ROOM
from hg_jax.annotations.people import People, Squares
from hg_jax.base import typed_json

_SAME = 3.0  # px; MPII names a person again beside each of the others


def everyone(
  path: Path, splits: dict[str, People], *, category: str | None = None
) -> Squares:
  """Returns the squares of everybody in the images of these annotations.

  Args:
    path: the file that `splits` were read from.
    splits: the people with joints.
    category: of a COCO file.
  """
  rows = [
    (str(image), *center, side)
    for people in splits.values()
    for image, center, side in zip(
      people.image, people.center.tolist(), people.side.tolist(), strict=True
    )
  ]
  if '.json' in path.name.lower() and path.is_file():
    data = typed_json.read(path)
    if data.lstrip().startswith(b'{'):
      file = coco_file.decode(data, path)
      rows += coco.squares(file, category, room=ROOM)
    else:
      rows += _of_mpii_json(typed_json.decode(data, list[dict], path))
  elif path.suffix.lower() == '.mat' and mpii_mat.is_release(path):
    rows += _of_raw(**mpii_mat.read(path))
  return _distinct(rows)


def _of_mpii_json(people: list[dict]) -> Iterable[tuple]:
  """The others in each person's image; HRNet's JSON has none."""
  for person in people:
    others = person.get('objpos_other')
    if not isinstance(others, list):
      continue  # Nobody else, as MATLAB's empty array became JSON.
    centers = np.reshape(others, (-1, 2))
    scales = np.ravel(person['scale_provided_other'])
    yield from _of_raw(
      image=[person['img_paths']] * len(scales), center=centers, scale=scales
    )


def _of_raw(*, image, center, scale, **_) -> Iterable[tuple]:
  for name, (x, y), size in zip(image, center, scale, strict=True):
    if size > 0:
      (x, y), side = mpii.square(np.array([x, y]), size)
      yield str(name), x, y, side


def _distinct(rows: list[tuple]) -> Squares:
  """Leaves out who is there already, within a few pixels."""
  kept, seen = [], {}
  for image, x, y, side in rows:
    others = seen.setdefault(image, [])
    near = _SAME + 0.02 * side
    if all(max(abs(x - a), abs(y - b)) > near for a, b in others):
      others.append((x, y))
      kept.append((image, x, y, side))
  image, *numbers = zip(*kept, strict=True) if kept else ((), (), (), ())
  x, y, side = np.array(numbers, np.float32)
  return Squares(
    image=np.array(image, str), center=np.stack([x, y], -1), side=side
  )
