"""COCO's average precision of predictions for people of a COCO file."""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hg_jax.annotations import forms
from hg_jax.annotations.people import People
from hg_jax.base import typed_json
from hg_jax.base.errors import UserError
from hg_jax.input import records
from hg_jax.metrics import oks
from hg_jax.metrics.pck import Metric


def file_of(data_dir: Path, split: str, metric: Metric) -> Path | None:
  """Returns the COCO file that a split was prepared from; None if another."""
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
  """Returns COCO's ten numbers for predictions of people with given boxes.

  A person's score, which ranks the people of an image, is the mean over the
  joints. Images without people are left out.

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
  """Returns `average_precision` as 'oks', or the reason as 'oks_missing'.

  A file that has changed must not cost the other scores.
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
  """Returns COCO's ten numbers for a file of COCO results, over all images.

  Args:
    path: a COCO keypoints file.
    results: a list of `oks.Result`; other categories are left out.
    people: the people of the category that counts.
    metric: has the joints' sigmas.

  Raises:
    UserError: the results are not of these images, or pycocotools is not
      installed.
  """
  contents = _contents(path)
  found = typed_json.decode(typed_json.read(results), list[oks.Result], results)
  someone = contents['annotations'][people.person_index[0]]
  category = someone.get('category_id')
  if found and all(r['category_id'] != category for r in found):
    raise UserError(
      f'{results} has no results of category {category!r}, which the people '
      f'are, but of {found[0]["category_id"]!r}.'
    )
  try:
    return oks.average_precision(
      contents, found, category=category, sigmas=metric.sigmas
    )
  except UserError as error:
    raise UserError(f'{results}: {error}') from error


def _contents(path: Path) -> dict[str, Any]:
  file = forms.read_coco(path)
  if file is None:
    raise UserError(f'{path} does not exist, or is not COCO keypoints JSON.')
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
