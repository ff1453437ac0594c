"""COCO's average precision of predictions for people of a COCO file."""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hg_jax.annotations import forms
from hg_jax.annotations.people import People
from hg_jax.base import files
from hg_jax.base.errors import UserError
from hg_jax.input import records
from hg_jax.metrics import oks
from hg_jax.metrics.pck import Metric


def file_of(data_dir: Path, split: str, metric: Metric) -> Path | None:
  """Returns the COCO file that a split was prepared from, if it was one."""
  source = records.source(data_dir)
  name = 'validation' if split == 'valid' else 'annotations'
  path = Path(source.get(name, source['annotations']))
  is_coco = metric.kind != 'pckh' and '.json' in path.suffixes
  return path if is_coco else None


def average_precision(
  path: Path,
  people: People,
  metric: Metric,
  joints: np.ndarray,  # f32[P, K, 2] px of the images
  score: np.ndarray,  # f32[P, K]
) -> dict[str, float | None]:
  """Returns COCO's ten numbers for people whose boxes were given.

  A person's score, which ranks the people of an image, is their joints' mean.
  Images without people are left out.

  Args:
    path: a COCO keypoints file.
    people: P of its people.
    metric: has the joints' sigmas.
    joints: the predictions.
    score: of the predictions.

  Raises:
    UserError: the file has other people, or pycocotools is not installed.
  """
  contents = _contents(path)
  _require_same(path, contents, people)
  entries = [
    (contents['images'][image], contents['annotations'][person])
    for image, person in zip(
      people.image_index, people.person_index, strict=True
    )
  ]
  keypoints = np.concatenate([joints, score[..., None]], axis=-1)
  return oks.average_precision(
    contents,
    [
      {
        'image_id': image['id'],
        'category_id': person.get('category_id'),
        'keypoints': points.ravel().tolist(),
        'score': float(mean),
      }
      for (image, person), points, mean in zip(
        entries, keypoints, score.mean(axis=1), strict=True
      )
    ],
    category=entries[0][1].get('category_id'),
    sigmas=metric.sigmas,
    images={image['id'] for image, _ in entries},
  )


def summarize(
  path: Path | None,  # of `file_of`
  people: People,
  metric: Metric,
  joints: np.ndarray,  # f32[P, K, 2] px of the images
  score: np.ndarray,  # f32[P, K]
) -> dict[str, Any]:
  """Returns `average_precision` as 'oks', or 'oks_missing', which says why.

  The other numbers are not to be lost for want of this one.
  """
  if path is None:
    return {}
  try:
    return {'oks': average_precision(path, people, metric, joints, score)}
  except UserError as error:
    return {'oks_missing': str(error)}


def of_results(
  path: Path, results: Path, people: People, metric: Metric
) -> dict[str, float | None]:
  """Returns COCO's ten numbers of a file of COCO results, over all images.

  Args:
    path: a COCO keypoints file.
    results: a list of objects with `image_id`, `category_id`, `keypoints` and
      `score`; those of other categories are left out.
    people: those of the category that counts.
    metric: has the joints' sigmas.

  Raises:
    UserError: they are not COCO results of these images, or pycocotools is
      not installed.
  """
  contents = _contents(path)
  try:
    found = files.read_json(results)
  except (OSError, ValueError) as error:
    raise UserError(f'{results} cannot be read: {error}.') from error
  if not isinstance(found, list) or not all(isinstance(r, dict) for r in found):
    raise UserError(f'{results} is not COCO results: a list of objects.')
  someone = contents['annotations'][people.person_index[0]]
  category = someone.get('category_id')
  if found and all(r.get('category_id', category) != category for r in found):
    raise UserError(
      f'{results} has no results of category {category!r}, which the people '
      f'are, but of {found[0]["category_id"]!r}.'
    )
  try:
    return oks.average_precision(
      contents,
      found,
      category=category,
      sigmas=metric.sigmas,
    )
  except UserError as error:
    raise UserError(f'{results}: {error}') from error


def _contents(path: Path) -> dict[str, Any]:
  file = forms.read_coco(path)
  if file is None:
    raise UserError(f'{path} is not there, or not COCO keypoints JSON.')
  return file.truth()


def _require_same(path: Path, contents: dict[str, Any], people: People) -> None:
  names = [
    PurePosixPath(str(image['file_name']).replace('\\', '/')).name
    for image in contents['images']
  ]
  same = (
    people.image_index.max() < len(names)
    and people.person_index.max() < len(contents['annotations'])
    and all(
      PurePosixPath(image).name == names[index]
      for image, index in zip(people.image, people.image_index, strict=True)
    )
  )
  if not same:
    raise UserError(
      f'{path} has other images than when the people were prepared from it.'
    )
