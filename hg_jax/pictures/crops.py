"""Draws people as their prepared records store them."""

import cv2
import numpy as np

from hg_jax.base import affine
from hg_jax.input.records import Crops
from hg_jax.pictures import figures


def annotated_crop(
  crops: Crops, row: int, size: int
) -> np.ndarray:  # u8[size, size, 3] RGB
  """Draws the annotated joints of a person onto the stored crop."""
  crop = crops.decode(row)
  picture = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
  image_to_picture = crops.image_to_crop[row] @ affine.scale(size / len(crop))
  people = crops.people
  return figures.annotated(
    np.ascontiguousarray(picture[..., ::-1]),
    affine.apply(people.joints[row], image_to_picture),
    people.labeled[row],
    crops.skeleton,
  )
