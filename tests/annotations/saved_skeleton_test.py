from hg_jax.annotations import mpii, saved_skeleton
from hg_jax.base.skeleton import Skeleton


def test_saved_skeleton_is_read_and_without_one_it_is_mpiis():
  two = Skeleton(joints=('a', 'b'), flip=(0, 1), groups={}, limbs=((0, 1),))
  assert saved_skeleton.read({'skeleton': two.to_json()}) == two
  assert saved_skeleton.read({'size': 448}) == mpii.SKELETON
