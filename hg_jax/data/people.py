"""The table of annotated people, whatever form they were read from.

Axes: P people, K joints.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class People:
  """Annotated people, a row each; coordinates as `affine` defines them.

  Attributes:
    image: str[P], the image's file name, relative to the images' folder.
    center: f32[P, 2], center of the person's square, px of the image.
    side: f32[P], its side, px; the network sees this square. MPII: 200 x
      scale x 1.25 = 10 head sizes (SPEC 0.4).
    joints: f32[P, K, 2], px of the image; zero where not labeled.
    labeled: bool[P, K], the joint has a position.
    known: bool[P, K], someone looked for the joint: where it is not labeled,
      the loss asks for an empty heatmap. What is not known it leaves out.
    visible: bool[P, K], the joint has a position and is not occluded.
    reference: f32[P], px, what errors are measured in; see
      `Skeleton.metric`. MPII: 0.6 x the diagonal of the head box.
    image_index: i32[P], the image's number; MPII: its row in `annolist`.
    person_index: i32[P], the person's; MPII: its row in `annorect`.
  """

  image: np.ndarray
  center: np.ndarray
  side: np.ndarray
  joints: np.ndarray
  labeled: np.ndarray
  known: np.ndarray
  visible: np.ndarray
  reference: np.ndarray
  image_index: np.ndarray
  person_index: np.ndarray

  def __post_init__(self):
    for field in dataclasses.fields(self):
      rows = len(getattr(self, field.name))
      if rows != len(self.image):
        raise ValueError(
          f'{field.name} has {rows} rows, image has {len(self.image)}.'
        )

  def __len__(self) -> int:
    return len(self.image)

  def __getitem__(self, rows) -> 'People':
    """Selects people by a slice, a boolean mask or an array of indices."""
    return People(
      **{
        field.name: getattr(self, field.name)[rows]
        for field in dataclasses.fields(self)
      }
    )
