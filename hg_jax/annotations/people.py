"""The table of annotated people that every form is read into.

Axes: P people, K joints.
"""

import dataclasses

import numpy as np

from hg_jax.annotations.boxes import ROOM
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton

FARTHEST = 1e6  # px; no image is as large


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
    known: bool[P, K], someone looked for the joint. The loss asks for an
      empty heatmap where a known joint is not labeled, and leaves out unknown
      joints.
    visible: bool[P, K], the joint has a position and is not occluded.
    reference: f32[P], px, the unit of errors, see `Skeleton.metric`. MPII:
      0.6 x the diagonal of the head box. 0 where it cannot be measured: the
      person is trained on but not scored.
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

  def scored(self) -> np.ndarray:  # bool[P, K]
    """Returns the labeled joints of people with a measured reference."""
    return self.labeled & (self.reference > 0)[:, None]

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Squares:
  """Where everybody in some images is, also those who are in no split.

  Attributes:
    image: str[P], file names, as in `People`.
    center: f32[P, 2], centers of the squares, px of the image.
    side: f32[P], their sides, px.
  """

  image: np.ndarray
  center: np.ndarray
  side: np.ndarray

  def of(self, images: set[str]) -> 'Squares':
    """Returns the squares of these images."""
    rows = np.array([name in images for name in self.image.tolist()], bool)
    return Squares(
      image=self.image[rows], center=self.center[rows], side=self.side[rows]
    )


def concatenate(parts: list[People]) -> People:
  """Puts tables of people below each other."""
  return People(
    **{
      field.name: np.concatenate([getattr(part, field.name) for part in parts])
      for field in dataclasses.fields(People)
    }
  )


def from_boxes(
  skeleton: Skeleton,
  *,
  boxes: np.ndarray,  # f[P, 4]: x, y, width, height; px of the image
  joints: np.ndarray,  # f[P, K, 2]
  labeled: np.ndarray,  # bool[P, K]
  **columns: np.ndarray,
) -> People:
  """Creates people whose unlabeled joints are not known.

  Their square is `ROOM` times the longer side of the box. The unit of errors
  is that side, or with 'pck_torso' from the left shoulder to the right hip.

  Args:
    skeleton: of their joints.
    boxes: around each person.
    joints: zero where not labeled.
    labeled: which joints have a position.
    **columns: the other columns of `People`.

  Raises:
    UserError: the metric needs joints that the skeleton lacks.
  """
  longer = boxes[:, 2:].max(axis=1)
  reference = longer
  if skeleton.metric == 'pck_torso':
    a, b = _torso(skeleton)
    length = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
    reference = np.where(labeled[:, a] & labeled[:, b], length, 0)
  for name in ('image_index', 'person_index'):
    columns[name] = np.asarray(columns[name], np.int32)
  return People(
    center=(boxes[:, :2] + boxes[:, 2:] / 2).astype(np.float32),
    side=(ROOM * longer).astype(np.float32),
    joints=joints.astype(np.float32),
    labeled=labeled,
    known=labeled,
    reference=reference.astype(np.float32),
    **columns,
  )


def _torso(skeleton: Skeleton) -> tuple[int, int]:
  """Finds the left shoulder and the right hip.

  Raises:
    UserError: there is no such joint.
  """
  names = skeleton_lib.sides_and_parts(skeleton.joints)
  ends = ('left', 'shoulder'), ('right', 'hip')
  if any(end not in names for end in ends):
    raise UserError(
      '--metric=pck_torso measures from the left shoulder to the right hip; '
      f'the joints are {", ".join(skeleton.joints)}.'
    )
  return names.index(ends[0]), names.index(ends[1])
