"""MPII's 16 joints."""

from hg_jax.base.skeleton import Skeleton

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
