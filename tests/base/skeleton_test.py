import dataclasses
import json

import pytest

from hg_jax.base import skeleton
from hg_jax.base.errors import UserError
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


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('joints', [None, 5, [], 'abc', [1, 2, 3], ['a', 'a', 'b']]),
    ('flip', [None, 5, [], [0, 2], [0, 2, 2], [0, 2, 3], [0, 2, 1.5]]),
    ('groups', [None, [], {'Hoof': 1}, {'Hoof': [3]}]),
    ('limbs', [None, [1], [[0]], [[0, 3]], ['ab']]),
    ('metric', [None, [], 'pck']),
    ('sigmas', [None, 5, [0.1], ['a', 'b', 'c'], [0.1, 0.1, 0]]),
  ],
)
def test_from_json_refuses_a_damaged_field(name, values):
  fields = HORSE.to_json()
  for value in values:
    with pytest.raises(ValueError, match='the skeleton.*'):
      skeleton.from_json(fields | {name: value})


@pytest.mark.parametrize('fields', [None, [], 5, 'text', {}])
def test_from_json_refuses_what_is_not_a_skeleton(fields):
  with pytest.raises(ValueError, match='the skeleton: Expected|required'):
    skeleton.from_json(fields)


@pytest.mark.parametrize(
  'name, side, part',
  [
    ('l_ankle', 'left', 'ankle'),
    ('right_ankle', 'right', 'ankle'),
    ('Right ankle', 'right', 'ankle'),
    ('ankle_left', 'left', 'ankle'),
    ('ankle.R', 'right', 'ankle'),
    ('LEye', 'left', 'eye'),
    ('leftEye', 'left', 'eye'),
    ('hipR', 'right', 'hip'),
    ('lefteye', 'left', 'eye'),
    ('front_left_hoof', 'left', 'front hoof'),
    ('head_top', '', 'head top'),
    ('lip', '', 'lip'),
    ('joint_r_2', '', 'joint r 2'),
    ('upright', '', 'upright'),
  ],
)
def test_sides_are_found_in_names(name, side, part):
  assert skeleton.sides_and_parts([name]) == [(side, part)]


def test_letters_before_a_name_are_sides_where_both_are_there():
  assert skeleton.flip_by_names(['RHIP', 'LHIP', 'lip']) == (1, 0, 2)
  horse = dataclasses.replace(HORSE, joints=('RHIP', 'LHIP', 'lip'))
  horse = dataclasses.replace(horse, flip=(1, 0, 2))
  assert [horse.side(k) for k in range(3)] == ['right', 'left', 'center']


def test_a_side_without_its_mirror_image_is_refused():
  with pytest.raises(UserError, match="'left_ear' is on the left .*flip_pairs"):
    skeleton.flip_by_names(['left_ear', 'nose'])


def test_flip_pairs_are_taken_as_given_or_refused():
  joints = ['nose', 'paw 1', 'paw 2']
  assert skeleton.flip_by_pairs(joints, ['paw 1:paw 2']) == (0, 2, 1)
  assert skeleton.flip_by_pairs(joints, []) == (0, 1, 2)
  for pairs in (['nose'], ['nose:ear'], ['nose:nose'], ['paw 1:nose'] * 2):
    with pytest.raises(UserError, match='--flip_pairs'):
      skeleton.flip_by_pairs(joints, pairs)


def test_groups_pool_mirror_pairs():
  assert skeleton.groups_of(['l_eye', 'nose', 'r_eye'], (2, 1, 0)) == {
    'Eye': (0, 2),
    'Nose': (1,),
  }
