import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.config import Config, Data
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.input import datasets, examples, person_crops, records


def other_form(crops: records.Crops) -> tuple[records.People, Skeleton]:
  """The same people as a dataset of five joints under other names."""
  names = ('Left wrist', 'neck', 'right_wrist', 'tail', 'RElbow')
  elbow = crops.skeleton.joints.index('r_elbow')
  columns = [
    crops.skeleton.joints.index(name) for name in ('l_wrist', 'neck', 'r_wrist')
  ] + [0, elbow]
  people = crops.people
  return dataclasses.replace(
    people,
    joints=people.joints[:, columns],
    **{
      name: getattr(people, name)[:, columns]
      for name in ('labeled', 'known', 'visible')
    },
  ), Skeleton(joints=names, flip=(2, 1, 0, 3, 4), groups={}, limbs=())


@pytest.fixture(scope='module')
def other(prepared, tmp_path_factory):
  """Eight of the prepared people in a folder of their own."""
  folder = tmp_path_factory.mktemp('other')
  people, skeleton = other_form(records.read(prepared, 'train'))
  source = {
    k: v for k, v in records.source(prepared).items() if k != 'skeleton'
  }
  person_crops.write(
    {'train': people[:8]},
    skeleton,
    source,
    folder,
    files={n: Path(source['images'], n) for n in people.image},
    sizes={},
    skip_unreadable=False,
  )
  return folder


def union_of(prepared, other, **settings) -> records.Crops:
  data = Data(dir=f'{prepared},{other}', **settings)
  return datasets.read_training(Config(data=data))


def test_union_maps_joints_by_name_and_does_not_know_the_rest(prepared, other):
  first = records.read(prepared, 'train')
  union = union_of(prepared, other)
  assert union.skeleton == first.skeleton
  assert len(union) == len(first) + 8
  added = union.people[len(first) :]
  for joint, name in enumerate(first.skeleton.joints):
    if name in ('l_wrist', 'r_wrist', 'neck', 'r_elbow'):
      expected = first.people.joints[:8, joint]
      np.testing.assert_array_equal(added.joints[:, joint], expected, name)
      assert added.known[:, joint].all()
    else:
      assert not added.known[:, joint].any(), name
      assert not added.labeled[:, joint].any(), name
  np.testing.assert_array_equal(union.decode(len(first)), first.decode(0))
  assert 'Left wrist = l_wrist' in union.notes[1]
  assert 'not used: tail' in union.notes[1]


def test_one_dataset_is_read_as_it_is(prepared):
  config = Config(data=Data(dir=str(prepared)))
  crops = datasets.read_training(config)
  assert crops.notes == () and crops.shares == ()
  np.testing.assert_array_equal(
    crops.people.joints, records.read(prepared, 'train').people.joints
  )


def test_validation_is_the_first_datasets(prepared, other):
  config = Config(data=Data(dir=f'{prepared},{other}'))
  crops = datasets.read(config, 'valid')
  assert len(crops) == len(records.read(prepared, 'valid'))


def test_people_of_other_joints_are_read_for_a_network(prepared, other):
  read = records.read(other, 'train')
  network = records.read(prepared, 'train').skeleton
  crops = datasets.read_for(Config(data=Data(dir=str(other))), 'train', network)
  assert crops.skeleton.joints == network.joints
  assert crops.skeleton.flip == network.flip
  assert crops.skeleton.metric == read.skeleton.metric
  names = ('l_wrist', 'neck', 'r_wrist', 'r_elbow')
  columns = [network.joints.index(name) for name in names]
  known = crops.people.known.any(axis=0)
  assert known.nonzero()[0].tolist() == sorted(columns)
  np.testing.assert_array_equal(
    crops.people.joints[:, columns], read.people.joints[:, [0, 1, 2, 4]]
  )
  assert 'Left wrist = l_wrist' in crops.notes[0]


def test_people_of_the_networks_joints_are_read_as_they_are(prepared):
  config = Config(data=Data(dir=str(prepared)))
  network = records.read(prepared, 'train').skeleton
  crops = datasets.read_for(config, 'valid', network)
  assert crops.skeleton == network and not crops.notes


def test_shares_decide_how_often_a_dataset_is_shown(prepared, other):
  union = union_of(prepared, other, shares=(2, 1))
  first = len(union) - 8
  config = Config(data=Data(image_size=64))
  rows = examples.training(union, config, first=0, count=3000).row
  # To a thousandth in every thousand examples.
  for block in rows.reshape(3, 1000):
    assert (block >= first).sum() == 333
  # Everyone of a dataset is shown once before anyone is shown again.
  shown = rows[rows >= first][:16].reshape(2, 8)
  assert (np.sort(shown) == np.arange(first, first + 8)).all()
  # Example k depends on the seed and k alone.
  again = examples.training(union, config, first=1234, count=7).row
  np.testing.assert_array_equal(again, rows[1234:1241])


def test_datasets_without_a_common_joint_are_refused(
  prepared, tmp_path, monkeypatch
):
  crops = records.read(prepared, 'train')
  names = tuple(f'part {k}' for k in range(16))
  skeleton = dataclasses.replace(crops.skeleton, joints=names)
  with pytest.raises(UserError, match='part 0.*r_ankle'):
    datasets._describe(
      dataclasses.replace(crops, skeleton=skeleton), crops.skeleton
    )


def test_folders_are_named_and_may_have_spaces():
  config = Config(data=Data(dir='a, b'))
  assert datasets.folders(config) == [Path('a'), Path('b')]
  with pytest.raises(UserError, match="dir is 'a,'"):
    datasets.folders(Config(data=Data(dir='a,')))


def test_share_that_is_never_shown_is_refused(prepared, other):
  union_of(prepared, other, shares=(0.004, 1))
  with pytest.raises(UserError, match='must be at least 0.002 of their sum'):
    union_of(prepared, other, shares=(1e-4, 1))


def test_shares_of_another_number_are_refused(prepared, other):
  with pytest.raises(UserError, match='give 2 numbers above 0'):
    union_of(prepared, other, shares=(1,))


def test_names_match_whatever_their_spelling():
  a = Skeleton(joints=('r_ankle', 'neck'), flip=(0, 1), groups={}, limbs=())
  b = dataclasses.replace(a, joints=('Neck', 'Right ankle', 'nose'))
  assert skeleton_lib.matches(b, a) == [1, 0]
  assert skeleton_lib.matches(a, b) == [1, 0, None]
