"""The joints of a dataset: names, mirror images, groups and limbs."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from hg_jax.base.errors import UserError

_SIDES = {'l': 'left', 'left': 'left', 'r': 'right', 'right': 'right'}
_OPPOSITE = {'left': 'right', 'right': 'left'}
# Between words: 'left_eye', 'Left eye', 'leftEye', 'LEye', 'lefteye'.
_BREAKS = re.compile(
  r'[\W_]+|(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])'
  r'|(?i:(?<=left)|(?<=right))(?=[a-zA-Z])'
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skeleton:
  """The joints of a dataset, in the order of the K axis.

  Attributes:
    joints: a name per joint, such as 'r_ankle'.
    flip: for each joint the index of its mirror image, itself if central.
    groups: the columns of a table of scores: a name and the joints it pools.
    limbs: pairs of joints to draw a line between.
    metric: the unit of errors, see `People.reference`: 'pckh' head sizes,
      'pck_torso' torso lengths, 'pck_box' sides of the person's box.
      'people' are the maps of the finder, in the place of joints.
    sigmas: one per joint for COCO's object keypoint similarity, or empty.
  """

  joints: tuple[str, ...]
  flip: tuple[int, ...]
  groups: dict[str, tuple[int, ...]]
  limbs: tuple[tuple[int, int], ...]
  metric: Literal['pckh', 'pck_torso', 'pck_box', 'people'] = 'pckh'
  sigmas: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] = ()

  def side(self, joint: int) -> str:
    """Returns 'right', 'left' or 'center', by the joint's name.

    In a pair whose names say no side, the first joint is 'left'.
    """
    mirrored = self.flip[joint]
    if mirrored == joint:
      return 'center'
    side, _ = sides_and_parts(self.joints)[joint]
    return side or ('left' if joint < mirrored else 'right')

  def to_json(self) -> dict[str, Any]:
    """Returns the fields, for `json.dumps`."""
    return dataclasses.asdict(self)


def from_json(fields: Any) -> Skeleton:
  """Reads what `Skeleton.to_json` returned.

  Raises:
    ValueError: says which field is wrong.
  """
  try:
    skeleton = msgspec.convert(fields, Skeleton)
  except msgspec.ValidationError as error:
    raise ValueError(f'the skeleton: {error}') from error
  names, flip = skeleton.joints, skeleton.flip
  count = len(names)
  pools = [*skeleton.groups.values(), *skeleton.limbs, flip]
  for name, is_right in (
    ('joints', len(set(names)) == count > 0),
    ('indices', all(0 <= joint < count for pool in pools for joint in pool)),
    ('flip', list(flip) == [(*flip, k).index(k) for k in range(count)]),
    ('sigmas', len(skeleton.sigmas) in (0, count)),
  ):
    if not is_right:
      raise ValueError(f'the skeleton has wrong {name}: {fields!r:.200}')
  return skeleton


def sides_and_parts(joints: Sequence[str]) -> list[tuple[str, str]]:
  """Returns ('left', 'eye') for 'l_eye', 'left eye', 'Eye.L' or 'leftEye'.

  The side is '' where a name has none, or both. 'lhip' has a side only where
  'rhip' exists too.
  """
  names = [_side_and_part(joint) for joint in joints]
  without = {part for side, part in names if not side}
  for joint, (side, part) in enumerate(names):
    for a, b in (('l', 'r'), ('r', 'l')):
      if not side and part[:1] == a and b + part[1:] in without:
        names[joint] = _SIDES[a], part[1:]
  return names


def _side_and_part(name: str) -> tuple[str, str]:
  words = [word.lower() for word in _BREAKS.split(name) if word]
  # A letter is a side only at either end: not in 'plane_r_2'.
  at = [
    i
    for i, word in enumerate(words)
    if word in _SIDES and (len(word) > 1 or i in (0, len(words) - 1))
  ]
  if len(at) != 1:
    return '', ' '.join(words)
  side = _SIDES[words.pop(at[0])]
  return side, ' '.join(words)


def flip_by_names(joints: Sequence[str]) -> tuple[int, ...]:
  """Finds the mirror image of each joint by the sides in the names.

  Raises:
    UserError: a left joint has no right one, or the other way around.
  """
  names = sides_and_parts(joints)
  flip = []
  for joint, (side, part) in enumerate(names):
    mirrored = (_OPPOSITE.get(side, ''), part)
    if side and names.count(mirrored) != 1:
      raise UserError(
        f'joint {joints[joint]!r} is on the {side} by its name, but '
        f'{names.count(mirrored)} joints are its {mirrored[0]} partner. Rename '
        'them, or give all mirror pairs: --flip_pairs=a:b,c:d (--flip_pairs= '
        'if there are none).'
      )
    flip.append(names.index(mirrored) if side else joint)
  return tuple(flip)


def flip_by_pairs(
  joints: Sequence[str], pairs: Sequence[str]
) -> tuple[int, ...]:
  """Finds the mirror image of each joint by pairs such as 'paw_1:paw_2'.

  Raises:
    UserError: a pair is not two joints, or a joint is in two pairs.
  """
  flip = list(range(len(joints)))
  for pair in pairs:
    names = pair.split(':')
    if len(names) != 2 or any(name not in joints for name in names):
      raise UserError(
        f'--flip_pairs has {pair!r}, which must be two joints, a:b, of '
        f'{", ".join(joints)}.'
      )
    a, b = (list(joints).index(name) for name in names)
    if a == b or flip[a] != a or flip[b] != b:
      raise UserError(f'--flip_pairs={",".join(pairs)} has {pair!r} twice.')
    flip[a], flip[b] = b, a
  return tuple(flip)


def groups_of(
  joints: Sequence[str], flip: Sequence[int]
) -> dict[str, tuple[int, ...]]:
  """Pools each mirror pair for a table of scores: 'Eye', 'Nose'."""
  groups = {}
  for joint, mirrored in enumerate(flip):
    side, part = sides_and_parts(joints)[joint]
    if joint == mirrored:
      groups[joints[joint].capitalize()] = (joint,)
    elif joint < mirrored:
      name = part if side and part else f'{joints[joint]}, {joints[mirrored]}'
      groups[name.capitalize()] = joint, mirrored
  return groups


def matches(
  of: Skeleton, onto: Skeleton
) -> list[int | None]:  # for each joint of `onto`
  """Finds the joint of `of` with the side and part of each joint of `onto`."""
  names = sides_and_parts(of.joints)
  return [
    names.index(name) if name in names else None
    for name in sides_and_parts(onto.joints)
  ]
