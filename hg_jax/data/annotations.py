"""Annotations of any form, read into the people of each split.

A .json is looked into to find its form; the forms are in `coco` and `mpii`.
"""

import dataclasses
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.data import coco, mpii
from hg_jax.data.people import People

VALIDATION_SHARE = 0.1  # of the images, where nothing says which


@dataclasses.dataclass(frozen=True, kw_only=True)
class Annotations:
  """What a file of annotations holds.

  Attributes:
    splits: the people of 'train', 'valid' and 'test', those there are.
    skeleton: of their joints.
    notes: lines on who was left out, and on what was assumed.
  """

  splits: dict[str, People]
  skeleton: Skeleton
  notes: list[str]


def load(
  path: Path,
  *,
  validation: Path | None = None,
  validation_share: float | None = None,
  category: str | None = None,
  flip_pairs: Sequence[str] | None = None,
  metric: str | None = None,
) -> Annotations:
  """Reads annotations of any form.

  Args:
    path: the file, or the folder of MPII's train.h5 and valid.h5.
    validation: a COCO file of the validation people.
    validation_share: of the images, to draw validation people from where
      the annotations have no split and there is no `validation`; by default
      `VALIDATION_SHARE`.
    category: of a COCO file.
    flip_pairs: of a COCO file, by default those of the joints' names.
    metric: of `Skeleton`; by default that of the form.

  Raises:
    UserError: a file cannot be read or is of no known form, or the two files
      have other joints.
  """
  contents = _json(path)
  if not coco.is_coco(contents):
    _refuse_settings(
      path, validation, validation_share, category, flip_pairs, metric
    )
    return Annotations(splits=mpii.load(path), skeleton=mpii.SKELETON, notes=[])
  settings = {'category': category, 'flip_pairs': flip_pairs, 'metric': metric}
  people, skeleton, notes = _read_coco(path, contents, settings)
  notes.append(_pairs(skeleton))
  if validation:
    valid, other, more = _read_coco(validation, _json(validation), settings)
    if other != skeleton:
      raise UserError(f'{validation} has other joints than {path}.')
    train = people[~np.isin(people.image, valid.image)]
    notes += [f'{validation.name}: {note}' for note in more]
    if gone := len(people) - len(train):
      notes.append(f'{gone} people left out whose images are for validation')
  else:
    share = VALIDATION_SHARE if validation_share is None else validation_share
    train, valid = draw_validation(people, share)
    notes.append(
      f'{len(np.unique(valid.image))} images drawn for validation: '
      f'--validation_share={share:g}'
    )
  return Annotations(
    splits={'train': train, 'valid': valid}, skeleton=skeleton, notes=notes
  )


def read_coco_contents(path: Path) -> dict[str, Any] | None:
  """Reads COCO keypoints JSON as it is; None of a file of another form.

  Raises:
    UserError: the file cannot be read.
  """
  contents = _json(path)
  return contents if coco.is_coco(contents) else None


def read_everyone(
  path: Path, contents: dict[str, Any], **settings
) -> tuple[People, Skeleton]:
  """Reads the people of COCO keypoints JSON, whatever their split.

  Args:
    path: the file, for messages.
    contents: what it holds.
    **settings: of `coco.read`.

  Raises:
    UserError: names the entry that is wrong.
  """
  people, skeleton, _ = _read_coco(path, contents, settings)
  return people, skeleton


def draw_validation(people: People, share: float) -> tuple[People, People]:
  """Draws images for validation; the people of the others, and of these.

  Raises:
    UserError: one of the two would have no image.
  """
  images = np.unique(people.image)
  count = round(share * len(images))
  if not 0 < count < len(images):
    raise UserError(
      f'--validation_share={share:g} of {len(images)} images is {count}; '
      'training and validation need one each.'
    )
  drawn = np.random.default_rng(0).permutation(images)[:count]
  valid = np.isin(people.image, drawn)
  return people[~valid], people[valid]


def _json(path: Path) -> Any:
  """The contents of a .json or .json.gz; None of other files."""
  if not path.is_file() or '.json' not in path.suffixes[-2:]:
    return None
  try:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == '.gz' else data)
  except OSError as error:
    reason = error.strerror or error
    raise UserError(f'{path} cannot be read: {reason}.') from error
  except (EOFError, ValueError) as error:
    raise UserError(f'{path} is not JSON: {error}.') from error


def _read_coco(
  path: Path, contents: Any, settings: dict[str, Any]
) -> tuple[People, Skeleton, list[str]]:
  if not coco.is_coco(contents):
    raise UserError(f'{path} is not COCO keypoints JSON, as the others are.')
  try:
    return coco.read(contents, **settings)
  except UserError as error:
    raise UserError(f'{path}: {error}') from error
  except (AttributeError, LookupError, TypeError, ValueError) as error:
    raise UserError(
      f'{path} is not COCO keypoints JSON: {type(error).__name__} {error}.'
    ) from error


def _refuse_settings(path: Path, *settings: Any) -> None:
  names = (
    'validation',
    'validation_share',
    'category',
    'flip_pairs',
    'metric',
  )
  for name, value in zip(names, settings, strict=True):
    if value is not None:
      raise UserError(
        f'--{name} is for COCO keypoints JSON, which {path} is not.'
      )


def _pairs(skeleton: Skeleton) -> str:
  """Says which joints change places in a mirror."""
  pairs = [
    f'{skeleton.joints[a]}:{skeleton.joints[b]}'
    for a, b in enumerate(skeleton.flip)
    if a < b
  ]
  return f'mirror pairs: {", ".join(pairs) or "none"}'
