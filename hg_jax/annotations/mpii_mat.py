"""Reads the official annotations, mpii_human_pose_v1_u12_1.mat.

  annolist(i).image.name
             .annorect(p).scale, objpos.x, .y, x1, y1, x2, y2 (the head box)
                         .annopoints.point(k).x, .y, .id, .is_visible
  img_train(i)  1 where the joints are published
  single_person{i}  the people who stand apart from others, from 1

Any of a person's fields may be absent or empty.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hg_jax.base import array_files

NUM_JOINTS = 16  # ids 0 to 15, in the order of `mpii.SKELETON`


def read(path: Path) -> dict[str, np.ndarray]:
  """Reads the people that have a position and a scale, a row each.

  Returns:
    Columns image str[P], center f[P, 2] and scale f[P] as published, joints
    f[P, K, 3] of x, y, visible, all zero where not labeled, head_size f[P],
    image_index and person_index i[P] from 0, and test bool[P].

  Raises:
    ValueError: there is no RELEASE, or no such person in it.
  """
  rows = list(_people(_release(path)))
  if not rows:
    raise ValueError('it has no people')
  return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def is_release(path: Path) -> bool:
  """Tells whether a .mat file is the official release."""
  return 'RELEASE' in array_files.mat_names(path)


def read_test(
  path: Path,
) -> tuple[dict[int, dict], set[tuple[int, int]]]:
  """Reads which people of the test images MPII's evaluation scores.

  Returns:
    By image_index, each image's 'name' and number of 'people'; and the
    (image_index, person_index) of those who are scored.

  Raises:
    ValueError: there is no RELEASE.
  """
  release = _release(path)
  structs = _structs(release['annolist'])
  tests = np.flatnonzero(np.atleast_1d(release['img_train']) == 0).tolist()
  images = {
    index: {
      'name': structs[index]['image']['name'],
      'people': len(_structs(structs[index]['annorect'])),
    }
    for index in tests
  }
  persons = np.atleast_1d(release['single_person'])
  single = {
    (index, int(person) - 1)
    for index in tests
    for person in np.ravel(persons[index])
  }
  return images, single


def _release(path: Path) -> dict:
  contents = array_files.read_mat(path, ['RELEASE'], simplify_cells=True)
  if 'RELEASE' not in contents:
    raise ValueError('it has no struct RELEASE')
  return contents['RELEASE']


def _people(release: dict) -> Iterator[dict]:
  images = _structs(release['annolist'])
  trains = np.atleast_1d(release['img_train'])
  for image_index, (image, train) in enumerate(
    zip(images, trains, strict=True)
  ):
    for person_index, person in enumerate(_structs(image['annorect'])):
      position = _structs(person.get('objpos'))
      if not position or not np.size(person.get('scale', ())):
        continue
      try:
        yield {
          'image': _name(image),
          'center': (float(position[0]['x']), float(position[0]['y'])),
          'scale': float(person['scale']),
          'joints': _joints(person) if train else np.zeros((NUM_JOINTS, 3)),
          'head_size': _head_size(person),
          'image_index': image_index,
          'person_index': person_index,
          'test': not train,
        }
      except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
          f'person {person_index + 1} of annolist({image_index + 1}): '
          f'{type(error).__name__} {error}'
        ) from error


def _name(image: dict) -> str:
  name = image['image']['name']
  if not isinstance(name, str):
    raise ValueError(f'the image has no name but {name!r}')
  return name


def _structs(value) -> list[dict]:
  """Lists a struct array, which scipy gives as a dict if it has one."""
  if isinstance(value, dict):
    return [value]
  return value if isinstance(value, list) else []


def _joints(person: dict) -> np.ndarray:  # f64[K, 3]: x, y, visible
  joints = np.zeros((NUM_JOINTS, 3))
  for points in _structs(person.get('annopoints')):
    for point in _structs(points.get('point')):
      visible = point.get('is_visible', '')
      # A number or a character; absent or empty means visible, as in
      # pose-hg-train's mpii.py.
      occluded = np.size(visible) and visible != '' and not float(visible)
      joint = int(point['id'])
      if joint not in range(NUM_JOINTS):
        raise ValueError(f'a point has the id {joint}, not 0 to 15')
      joints[joint] = point['x'], point['y'], not occluded
  return joints


def _head_size(person: dict) -> float:
  """Returns 0.6 x the diagonal of the head box, or what the scale implies."""
  corners = [person.get(name, ()) for name in ('x1', 'y1', 'x2', 'y2')]
  if not all(np.size(corner) for corner in corners):
    return 25.0 * float(person['scale'])
  x1, y1, x2, y2 = map(float, corners)
  return 0.6 * np.hypot(x2 - x1, y2 - y1)
