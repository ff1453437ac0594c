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
from hg_jax.base import files
from hg_jax.base.array_files import UNREADABLE
from hg_jax.base.errors import UserError, system_errors


def require_annotations(annotations: Path, path: Path) -> None:
  """Refuses annotations of which `write` could not make `path`.

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
      f'{path.name} needs it; put it back and give the same command again.'
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
    joints: theirs.

  Returns:
    How many people are 'annotated' in the test images, how many of them are
    'single', and how many of those are 'scored': have a prediction here.

  Raises:
    UserError: the annotations are gone, damaged or not the official ones, or
      `path` cannot be written.
  """
  require_annotations(annotations, path)
  images, single = _read_test(annotations, path)
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
  with system_errors(path):
    files.write(path, _mat({'pred': pred}))
  return {
    'annotated': sum(image['people'] for image in images.values()),
    'single': len(single),
    'scored': len(single & predicted.keys()),
  }


def _mat(variables: dict[str, np.ndarray]) -> bytes:
  """A .mat file of MATLAB's variables."""
  buffer = io.BytesIO()
  scipy.io.savemat(buffer, variables, do_compression=True)
  return buffer.getvalue()


def _read_test(
  annotations: Path, path: Path
) -> tuple[dict[int, dict], set[tuple[int, int]]]:
  """What `mpii_mat.read_test` reads, for `path`."""
  try:
    return mpii_mat.read_test(annotations)
  except UNREADABLE as error:
    raise UserError(
      f'{annotations} is damaged ({type(error).__name__}: {error}), and '
      f'{path.name} needs it. Put it back and give the same command again.'
    ) from error


def _points(joints: np.ndarray | None) -> np.ndarray:
  """The annopoints of a person; empty where there is no prediction."""
  if joints is None:
    return _structs([], [])
  points = [(float(x), float(y), float(k)) for k, (x, y) in enumerate(joints)]
  return _structs(['point'], [(_structs(['x', 'y', 'id'], points),)])


def _structs(names: Sequence[str], rows: list[tuple]) -> np.ndarray:
  """A MATLAB struct array, 1 x N; [] without rows."""
  if not rows:
    return np.zeros((0, 0))
  return np.array([rows], [(name, object) for name in names])
