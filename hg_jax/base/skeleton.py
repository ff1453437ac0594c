"""The joints of a dataset: names, mirror images, groups and limbs."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skeleton:
  """The joints of a dataset, in the order of the K axis.

  Attributes:
    joints: a name per joint, such as 'r_ankle'.
    flip: for each joint the index of its mirror image, itself if central.
    groups: the columns of a table of scores: a name and the joints it pools.
    limbs: pairs of joints to draw a line between.
    metric: what errors are measured in, see `People.reference`: 'pckh' head
      sizes, 'pck_torso' torso lengths, 'pck_box' sides of the person's box.
    sigmas: of COCO's object keypoint similarity, one per joint; or none.
  """

  joints: tuple[str, ...]
  flip: tuple[int, ...]
  groups: dict[str, tuple[int, ...]]
  limbs: tuple[tuple[int, int], ...]
  metric: str = 'pckh'
  sigmas: tuple[float, ...] = ()

  def side(self, joint: int) -> str:
    """'right' or 'left' of the person, or 'center'; from the joint's name."""
    return {'r': 'right', 'l': 'left'}.get(
      self.joints[joint].split('_')[0], 'center'
    )

  def to_json(self) -> dict[str, Any]:
    """The fields, as `json.dumps` takes them."""
    return dataclasses.asdict(self)


def from_json(fields: dict[str, Any]) -> Skeleton:
  """The inverse of `Skeleton.to_json`."""
  return Skeleton(
    joints=tuple(fields['joints']),
    flip=tuple(fields['flip']),
    groups={name: tuple(ks) for name, ks in fields['groups'].items()},
    limbs=tuple((a, b) for a, b in fields['limbs']),
    metric=fields['metric'],
    sigmas=tuple(fields['sigmas']),
  )


SKELETON = Skeleton(
  joints=(
    'r_ankle', 'r_knee', 'r_hip', 'l_hip', 'l_knee', 'l_ankle', 'pelvis',
    'thorax', 'neck', 'head_top', 'r_wrist', 'r_elbow', 'r_shoulder',
    'l_shoulder', 'l_elbow', 'l_wrist',
  ),
  flip=(5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10),
  groups={
    # The head top alone, as pytorch-pose, HRNet and mmpose report it; the
    # official table takes the mean of neck and head top.
    'Head': (9,),
    'Shoulder': (12, 13),
    'Elbow': (11, 14),
    'Wrist': (10, 15),
    'Hip': (2, 3),
    'Knee': (1, 4),
    'Ankle': (0, 5),
  },
  limbs=(
    (0, 1), (1, 2), (2, 6), (3, 6), (3, 4), (4, 5), (6, 8), (8, 9),
    (8, 12), (10, 11), (11, 12), (8, 13), (13, 14), (14, 15),
  ),
)  # fmt: skip
