"""Reads MPII as HRNet and mmpose have it: train.json, valid.json.

A list of people: image, center, scale, joints 16 x [x, y], joints_vis 16. The
numbers are those of the official .mat, which HRNet and mmpose lower by 1 when
they read them; `mpii` reads the .mat as it is, and so these.
"""

from typing import Any

import numpy as np

from hg_jax.annotations import mpii_json


def is_hrnet(contents: Any) -> bool:
  """Tells whether a JSON file's contents are of this form."""
  return (
    isinstance(contents, list)
    and bool(contents)
    and isinstance(contents[0], dict)
    and {'image', 'center', 'scale', 'joints_vis'} <= contents[0].keys()
  )


def columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
  """Returns the columns of `mpii._from_raw`.

  Images and the people of each are numbered as they come, from 0.

  Raises:
    ValueError: names the person and the field that is wrong.
  """
  images = mpii_json.texts(rows, 'image')
  _, first, inverse = np.unique(images, return_index=True, return_inverse=True)
  image_index = np.argsort(np.argsort(first))[inverse]
  seen: dict[int, int] = {}
  person_index = []
  for image in image_index.tolist():
    person_index.append(seen.get(image, 0))
    seen[image] = person_index[-1] + 1
  joints = mpii_json.numbers(rows, 'joints', 16, 2)
  missing = (joints == 0).all(axis=-1) | (joints == -1).all(axis=-1)
  visible = mpii_json.numbers(rows, 'joints_vis', 16)
  return {
    'image': images,
    'center': mpii_json.numbers(rows, 'center', 2),
    'scale': mpii_json.numbers(rows, 'scale'),
    'joints': np.concatenate(
      [np.where(missing[..., None], 0, joints), visible[..., None]], axis=-1
    ),
    'image_index': image_index,
    'person_index': np.array(person_index),
  }
