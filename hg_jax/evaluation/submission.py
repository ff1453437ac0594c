"""Predictions on MPII's test people, as its evaluation server wants them.

`pred_keypoints_mpii.mat` holds `pred`, the test images of `RELEASE.annolist`
in their order, where pred(i).annorect(p).annopoints.point(k).x, .y, .id are
the predicted joints of person p. Only people who stand well apart from
others, `RELEASE.single_person`, are scored.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io

from hg_jax.annotations import mpii_mat
from hg_jax.annotations.people import People
from hg_jax.base import array_files, files
from hg_jax.base.errors import UserError, system_errors


def require_annotations(annotations: Path, path: Path) -> None:
  """Refuses annotations from which `write` cannot make `path`.

  Raises:
    UserError: they are gone, or not the official ones.
  """
  if annotations.suffix != '.mat':
    raise UserError(
      f'{annotations} does not say who is scored; prepare the test people '
      'from mpii_human_pose_v1_u12_1.mat.'
    )
  if not annotations.is_file():
    raise UserError(
      f'{annotations}, from which the test people were prepared, is gone, and '
      f'{path.name} needs it; put it back and rerun the command.'
    )


def write(
  path: Path,
  annotations: Path,
  people: People,
  joints: np.ndarray,  # f32[P, K, 2] px of the image
) -> dict[str, int]:
  """Writes the predicted joints of test people.

  Args:
    path: the file to write.
    annotations: mpii_human_pose_v1_u12_1.mat.
    people: the P predicted people.
    joints: their predicted joints.

  Returns:
    The number of people 'annotated' in the test images, of 'single' people
    among them, and of 'scored' people: single ones with a prediction here.

  Raises:
    UserError: the annotations are gone, damaged or not the official ones, or
      `path` cannot be written.
  """
  require_annotations(annotations, path)
  advice = f'{path.name} needs it: put it back and rerun the command.'
  with array_files.reading(annotations, advice):
    images, single = mpii_mat.read_test(annotations)
  predicted = {
    (int(image), int(person)): points
    for image, person, points in zip(
      people.image_index, people.person_index, joints, strict=True
    )
  }
  pred = _structs(
    ('image', 'annorect'),
    [
      (
        _structs(['name'], [(image['name'],)]),
        _structs(
          ['annopoints'],
          [
            (_points(predicted.get((index, person))),)
            for person in range(image['people'])
          ],
        ),
      )
      for index, image in images.items()
    ],
  )
  buffer = io.BytesIO()
  scipy.io.savemat(buffer, {'pred': pred}, do_compression=True)
  with system_errors(path):
    files.write(path, buffer.getvalue())
  return {
    'annotated': sum(image['people'] for image in images.values()),
    'single': len(single),
    'scored': len(single & predicted.keys()),
  }


def _points(joints: np.ndarray | None) -> np.ndarray:
  """Returns a person's annopoints; empty without a prediction."""
  if joints is None:
    return _structs([], [])
  points = [(float(x), float(y), float(k)) for k, (x, y) in enumerate(joints)]
  return _structs(['point'], [(_structs(['x', 'y', 'id'], points),)])


def _structs(names: Sequence[str], rows: list[tuple]) -> np.ndarray:
  """Returns a MATLAB struct array, 1 x N; [] without rows."""
  if not rows:
    return np.zeros((0, 0))
  return np.array([rows], [(name, object) for name in names])
