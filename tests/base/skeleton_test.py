import json

from hg_jax.base import skeleton
from hg_jax.base.skeleton import Skeleton

HORSE = Skeleton(
  joints=('nose', 'l_hoof', 'r_hoof'),
  flip=(0, 2, 1),
  groups={'Hoof': (1, 2)},
  limbs=((0, 1), (0, 2)),
  metric='pck_box',
  sigmas=(0.05, 0.05, 0.1),
)


def test_skeleton_comes_back_from_json_as_it_was():
  text = json.dumps(HORSE.to_json())
  assert skeleton.from_json(json.loads(text)) == HORSE
