"""Reads MPII Human Pose annotations in every form, and its official split.

Axes: P people, K = 16 joints.

The forms, and what their numbers mean (SPEC 2.1):

  `mpii_human_pose_v1_u12_1.mat`  the official release; raw center and scale.
  `mpii_annotations.json[.gz]`    of CPM and pytorch-pose; raw, scale rounded
                                  to 3 decimals, training images only.
  `train.h5`, `valid.h5`          of pose-hg-demo; center and scale already
                                  adjusted, joints truncated to integers.
  `train.json`, `valid.json`      of HRNet and mmpose; see `mpii_json`.
  `gt_valid.mat`                  the evaluation's ground truth: pytorch-pose's
                                  `detections_our_format.mat`.

The validation people are Tompson's 2,958, listed in `mpii_validation.csv` by
image, row in `annolist` and row in `annorect`, from 0, as valid.h5 has them.
Other people of their images belong to no split: they would leak.
"""

import collections
import dataclasses
import functools
import importlib.resources
from pathlib import Path

import h5py
import numpy as np

from hg_jax.annotations import mpii_json, mpii_mat
from hg_jax.annotations.mpii_skeleton import SKELETON
from hg_jax.annotations.people import FARTHEST, People, concatenate
from hg_jax.base import array_files
from hg_jax.base.errors import UserError

NUM_JOINTS = len(SKELETON.joints)

FORMS = (
  'mpii_human_pose_v1_u12_1.mat, mpii_annotations.json, '
  "mpii_annotations.json.gz, train.h5, valid.h5, HRNet's train.json, "
  'valid.json, or the folder of two of these'
)

_FILES = {
  'train': ('train.h5', 'train.json', 'mpii_train.json'),
  'valid': ('valid.h5', 'valid.json', 'mpii_val.json'),
  'test': ('test.h5',),
}


def load(path: str | Path) -> dict[str, People]:
  """Reads annotations into the splits they hold: 'train', 'valid', 'test'.

  'valid' has the people of the shipped list, or those that the json marks.
  'train' has people with a position, a scale and at least one joint, in
  images without validation people. 'test' has the people in images whose
  joints are not published. Each split is sorted by image_index, person_index.

  Args:
    path: a file of any of `FORMS`, or the folder of train.h5 and valid.h5.

  Raises:
    UserError: there is no such file, it is damaged, or of another form.
  """
  path = Path(path)
  if not path.is_dir():
    return _read(path)
  splits = {}
  for split in ('train', 'valid', 'test'):
    for name in _FILES[split]:
      if (path / name).is_file():
        people = _read(path / name)
        if name.endswith('.json'):  # HRNet's; its name says the split.
          people = {split: concatenate(list(people.values()))}
        splits |= people
        break
  if not splits:
    raise UserError(f'{path} has no train.h5 and no valid.h5. Give {FORMS}.')
  return splits


def load_evaluation(path: str | Path) -> People:
  """Reads the 2,958 validation people, in standard order, from any form.

  gt_valid.mat has no center, so it is NaN; no scale, so `side` is ten head
  sizes (SPEC 0.4); and no visibility, so every labeled joint is `visible`.

  Raises:
    UserError: as `load`, or people are missing from the file.
  """
  path = Path(path)
  if path.suffix == '.mat' and path.is_file():
    people = _read_ground_truth(path)
    if people is not None:
      return people
  people = load(path).get('valid')
  listed, found = set(zip(*validation_list(), strict=True)), set()
  if people is not None:
    columns = (people.image, people.image_index, people.person_index)
    found = set(zip(*columns, strict=True))
  if people is None or found != listed:
    raise UserError(
      f'{path} has {len(found & listed):,} of the {len(listed):,} validation '
      'people of MPII. Give one that has them all: valid.h5, gt_valid.mat, '
      'mpii_annotations.json or mpii_human_pose_v1_u12_1.mat.'
    )
  return people


@functools.cache
def validation_list() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Lists the validation people: image str[P], image and person index i32[P].

  Sorted by the two indices. The arrays are shared: do not write to them.
  """
  file = importlib.resources.files('hg_jax.annotations') / 'mpii_validation.csv'
  rows = [row.split(',') for row in file.read_text().splitlines()[1:]]
  image, image_index, person_index = np.array(rows).T
  return image, image_index.astype(np.int32), person_index.astype(np.int32)


def _read(path: Path) -> dict[str, People]:
  if not path.is_file():
    raise UserError(f'{path} does not exist. Give {FORMS}.')
  readers = {'mat': _read_mat, 'json': _read_json, 'h5': _read_h5}
  suffix = path.name.lower().removesuffix('.gz').rpartition('.')[2]
  if suffix not in readers:
    raise UserError(f'{path} is not a .mat, .json or .h5. Give {FORMS}.')
  # `_split` refuses what becomes infinite or NaN, and names the person.
  with _reading(path), np.errstate(all='ignore'):
    return readers[suffix](path)


def _reading(path: Path):
  return array_files.reading(path, f'Give {FORMS}.')


def _split(
  people: People,
  *,
  valid: np.ndarray,  # bool[P]
  held_out: np.ndarray,  # bool[P], in an image with validation people
  test: np.ndarray,  # bool[P], in an image without published joints
) -> dict[str, People]:
  """Splits the people; each split is sorted, and none is empty.

  Raises:
    ValueError: a person has no usable square or joints, or is there twice, or
      there is nobody to train on or to test.
  """
  if people.joints.shape[1:] != (NUM_JOINTS, 2):
    raise ValueError(f'joints of shape {people.joints.shape[1:]}, not (16, 2)')
  is_right = {}
  for name in ('center', 'side', 'joints', 'reference'):
    rows = getattr(people, name).reshape(len(people), -1)
    is_right[name] = (np.abs(rows) < FARTHEST).all(axis=1)  # False for NaN
  is_right['scale'] = people.side > 0
  for name, right in is_right.items():
    for row in np.flatnonzero(~right)[:1]:
      raise ValueError(
        f'{name} of person {row} ({people.image[row]}) is not in px of an image'
      )

  train = ~test & ~held_out & people.labeled.any(axis=-1)
  splits = {}
  for split, rows in (('train', train), ('valid', valid), ('test', test)):
    if rows.any():
      part = people[rows]
      splits[split] = part[np.lexsort((part.person_index, part.image_index))]
      _require_once(splits[split])
  if not splits:
    raise ValueError('nobody in it has a labeled joint')
  return splits


def _require_once(people: People) -> None:
  columns = (people.image, people.image_index, people.person_index)
  counts = collections.Counter(zip(*columns, strict=True))
  for (image, _, number), count in counts.most_common(1):
    if count > 1:
      raise ValueError(f'person {number} of {image} is there twice')


def _listed(
  people: People,
) -> dict[str, np.ndarray]:  # bool[P], `valid` and `held_out` of `_split`
  """Finds the people on the shipped list, and those in its images.

  Raises:
    ValueError: an image of the list has another name.
  """
  image, image_index, person_index = validation_list()
  row = np.searchsorted(image_index, people.image_index)
  row = np.minimum(row, len(image_index) - 1)
  held_out = image_index[row] == people.image_index
  if (other := held_out & (image[row] != people.image)).any():
    first = np.flatnonzero(other)[0]
    raise ValueError(
      f'image {people.image_index[first]:,} is {people.image[first]}, in '
      f'mpii_human_pose_v1_u12_1 it is {image[row[first]]}'
    )
  listed = set(zip(image_index.tolist(), person_index.tolist(), strict=True))
  pairs = zip(
    people.image_index.tolist(), people.person_index.tolist(), strict=True
  )
  valid = np.fromiter((pair in listed for pair in pairs), bool, len(people))
  return {'valid': valid, 'held_out': held_out}


def square(
  center: np.ndarray,  # f[..., 2], objpos, px
  scale: np.ndarray,  # f[...]
) -> tuple[np.ndarray, np.ndarray]:  # f64[..., 2], f64[...], px
  """Returns the center and the side of the squares of published numbers.

  Each is moved 15 x scale px down and widened by 25 %, as in pose-hg-train's
  mpii.lua, to keep limbs inside.
  """
  scale = np.asarray(scale, np.float64)
  down = 15 * scale[..., None] * np.array([0, 1])
  return np.asarray(center, np.float64) + down, 250 * scale


def _from_raw(
  *,
  image,  # str[P]
  center,  # f[P, 2], objpos
  scale,  # f[P], the person's height / 200 px
  joints,  # f[P, K, 3]: x, y, visible; (0, 0) where not labeled
  image_index,  # i[P], from 0
  person_index,  # i[P], from 0
  head_size=None,  # f[P], or None to derive it
) -> People:
  """Creates people of the numbers as they are published."""
  scale = np.asarray(scale, np.float64)
  center, side = square(center, scale)
  joints = np.asarray(joints, np.float64)
  labeled = (joints[..., :2] != 0).any(axis=-1)
  if head_size is None:
    head_size = 25 * scale  # SPEC 0.4: scale was computed from the head box
  return People(
    image=np.array(image, str),
    center=center.astype(np.float32),
    side=side.astype(np.float32),
    joints=joints[..., :2].astype(np.float32),
    labeled=labeled,
    known=np.ones_like(labeled),
    visible=labeled & (joints[..., 2] != 0),
    reference=np.asarray(head_size, np.float32),
    image_index=np.asarray(image_index, np.int32),
    person_index=np.asarray(person_index, np.int32),
  )


def _read_json(path: Path) -> dict[str, People]:
  try:
    columns, valid = mpii_json.read(path)
  except UserError as error:
    raise UserError(f'{error} Give {FORMS}.') from error
  people = _from_raw(**columns)
  if valid is None:
    return _split_hrnet(people)
  # For MPII these are the people of the shipped list, as a test proves.
  return _split(
    people,
    valid=valid,
    # By name: other tools number images in ways of their own.
    held_out=np.isin(people.image, people.image[valid]),
    test=np.zeros(len(people), bool),
  )


def _split_hrnet(people: People) -> dict[str, People]:
  """Validates on the images of the shipped list, and takes its numbers."""
  image, image_index, person_index = validation_list()
  valid = np.isin(people.image, image)
  if np.array_equal(people.image, image):
    people = dataclasses.replace(
      people, image_index=image_index, person_index=person_index
    )
  test = np.zeros(len(people), bool)
  return _split(people, valid=valid, held_out=valid, test=test)


def _read_h5(path: Path) -> dict[str, People]:
  with h5py.File(path) as file:
    image = np.char.decode(file['imgname'][:].astype(bytes))
    index, person = file['index'][:], file['person'][:]
    center, scale = file['center'][:], file['scale'][:]
    part, visible = file['part'][:], file['visible'][:]
    normalize = file['normalize'][:]

  if not len(scale):
    raise ValueError('it has no people')
  test = normalize <= 0  # test images have no head box; it is -1
  side = 200 * scale
  head_size = np.where(test, side / 10, normalize)
  # LUA's annot.h5 has the same columns, unadjusted: eight head sizes.
  heads = np.median(side / head_size)
  if abs(heads - 10) > 0.1:
    raise UserError(
      f'{path} has squares of {heads:.2f} head sizes where train.h5 and '
      f'valid.h5 have 10: its center and scale are not adjusted. Give {FORMS}.'
    )
  # A person without joints has (-1, -1) and visible -1.
  labeled = (part[..., 0] != 0) & (visible >= 0) & ~test[:, None]
  people = People(
    image=image,
    center=center.astype(np.float32),
    side=side.astype(np.float32),
    joints=np.where(labeled[..., None], part, 0).astype(np.float32),
    labeled=labeled,
    known=np.ones_like(labeled),
    visible=labeled & (visible > 0),
    reference=head_size.astype(np.float32),
    image_index=index.astype(np.int32),
    person_index=person.astype(np.int32),
  )
  return _split(people, test=test, **_listed(people))


def _read_mat(path: Path) -> dict[str, People]:
  columns = mpii_mat.read(path)
  test = columns.pop('test')
  people = _from_raw(**columns)
  return _split(people, test=test, **_listed(people))


def _read_ground_truth(path: Path) -> People | None:
  """Reads gt_valid.mat; None if `path` is another kind of .mat."""
  names = ['pos_gt_src', 'headboxes_src', 'jnt_missing']
  with _reading(path):
    if 'pos_gt_src' not in array_files.mat_names(path):
      return None
    contents = array_files.read_mat(path, names)
    joints, boxes, missing = (contents[name] for name in names)
  image, image_index, person_index = validation_list()
  if joints.shape != (NUM_JOINTS, 2, len(image)):
    raise UserError(
      f'{path} has pos_gt_src of shape {joints.shape}; the validation '
      f'people in standard order have {(NUM_JOINTS, 2, len(image))}.'
    )
  labeled = missing.T == 0
  joints = np.where(labeled[..., None], joints.transpose(2, 0, 1), 0)
  head_size = 0.6 * np.hypot(*(boxes[1] - boxes[0]))
  return People(
    image=image,
    center=np.full((len(image), 2), np.nan, np.float32),
    side=(10 * head_size).astype(np.float32),
    joints=joints.astype(np.float32),
    labeled=labeled,
    known=np.ones_like(labeled),
    visible=labeled,
    reference=head_size.astype(np.float32),
    image_index=image_index,
    person_index=person_index,
  )
