"""Reads annotations of any form into the people of each split.

What a .json or .mat holds decides its form: `coco`, `lsp` or `mpii`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hg_jax.annotations import coco, coco_file, lsp, mpii
from hg_jax.annotations.people import People, concatenate
from hg_jax.base import typed_json
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton

VALIDATION_SHARE = 0.1  # of the images, where nothing says which
# Bytes of memory for a byte of JSON; 4.3 measured on 199 MB of 368,000 people.
_MEMORY = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Annotations:
  """What a file of annotations holds.

  Attributes:
    splits: the people of 'train', 'valid' and 'test', those there are.
    skeleton: of their joints.
    notes: lines on who was left out, and on what was assumed.
    sizes: the width and height, px, of images whose annotations give them.
  """

  splits: dict[str, People]
  skeleton: Skeleton
  notes: list[str]
  sizes: dict[str, tuple[float, float]]


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
    path: the file, or a folder of MPII's train and valid files.
    validation: a file of the same form, of the people to validate on.
    validation_share: of the images, to draw validation people from; by
      default `VALIDATION_SHARE` where a .json or LSP says nothing of a split.
    category: of a COCO file.
    flip_pairs: of a COCO file, by default those of the joints' names.
    metric: of `Skeleton`, for COCO and LSP; by default that of the form.

  Raises:
    UserError: a file cannot be read or has an unknown form, the two files
      have different joints, or a setting is not for this form.
  """
  settings = {'category': category, 'flip_pairs': flip_pairs, 'metric': metric}
  found = _read(path, settings)
  splits, notes, sizes = found.splits, found.notes, found.sizes
  if validation:
    if validation_share is not None:
      raise UserError('give --validation or --validation_share, not both.')
    other = _read(validation, settings)
    if other.skeleton != found.skeleton:
      raise UserError(f'{validation} has other joints than {path}.')
    notes += [f'{validation.name}: {note}' for note in other.notes]
    splits['valid'] = concatenate(list(other.splits.values()))
    sizes |= other.sizes
  elif validation_share is not None or not (
    splits.keys() & {'valid', 'test'}
    or path.is_dir()
    or path.suffix.lower() == '.h5'
  ):
    share = VALIDATION_SHARE if validation_share is None else validation_share
    known = [splits[name] for name in ('train', 'valid') if name in splits]
    if not known:
      raise UserError(
        f'--validation_share needs people with joints; {path} has none.'
      )
    drawn, images = draw_validation(concatenate(known), share)
    splits |= drawn
    notes.append(
      f'{images:,} images drawn for validation: --validation_share={share:g}'
    )
  return found


def read_coco(path: Path) -> coco_file.File | None:
  """Reads COCO keypoints JSON; returns None for a file of another form.

  Raises:
    UserError: the file cannot be read, or names the place that is wrong.
  """
  if not path.is_file() or '.json' not in path.name.lower():
    return None
  _require_memory(path)
  data = typed_json.read(path)
  is_list = data[:1000].lstrip().startswith(b'[')  # of MPII's people
  return None if is_list else coco_file.decode(data, path)


def read_everyone(
  path: Path, file: coco_file.File, **settings
) -> tuple[People, Skeleton]:
  """Reads the people of COCO keypoints JSON, whatever their split.

  Args:
    path: the file, for messages.
    file: its contents.
    **settings: of `coco.read`.

  Raises:
    UserError: names the entry that is wrong.
  """
  people, skeleton, _ = _read_coco(path, file, settings)
  return people, skeleton


def _read(path: Path, settings: dict[str, Any]) -> Annotations:
  """Reads the splits that a file has, everyone as 'train' if it has none."""
  if not (path.is_file() or path.is_dir()):
    problem = 'is not a file or folder' if path.exists() else 'does not exist'
    raise UserError(f'{path} {problem}; see --help for what can be read.')
  if (file := read_coco(path)) is not None:
    people, skeleton, notes = _read_coco(path, file, settings)
    return Annotations(
      splits={'train': people},
      skeleton=skeleton,
      notes=[*notes, _pairs(skeleton)],
      sizes={image.name: image.size for image in file.images if image.size},
    )
  for name in ('category', 'flip_pairs'):
    if settings[name] is not None:
      raise UserError(
        f'--{name} is for COCO keypoints JSON, which {path} is not.'
      )
  if path.suffix.lower() == '.mat' and lsp.is_lsp(path):
    splits, skeleton, notes = lsp.read(path, metric=settings['metric'])
  elif settings['metric'] is not None:
    raise UserError('--metric is for COCO keypoints JSON and LSP, not MPII.')
  else:
    splits, skeleton, notes = mpii.load(path), mpii.SKELETON, []
  return Annotations(splits=splits, skeleton=skeleton, notes=notes, sizes={})


def draw_validation(
  people: People, share: float
) -> tuple[dict[str, People], int]:
  """Draws images for validation, whatever people are in them.

  Returns:
    The people of 'train' and of 'valid', and how many images were drawn.

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
  return {'train': people[~valid], 'valid': people[valid]}, count


def _require_memory(path: Path) -> None:
  """Refuses a file that there is not enough memory to read."""
  needed, free = _MEMORY * path.stat().st_size, _free_memory()
  if free is not None and needed > free:
    raise UserError(
      f'{path} has {path.stat().st_size / 1e9:.1f} GB, and reading it takes '
      f'about {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free. '
      'Split it, or leave out fields that keypoints do not need.'
    )


def _free_memory() -> int | None:
  """Returns the free bytes of the machine; None where it does not say."""
  try:
    text = Path('/proc/meminfo').read_text()
  except OSError:
    return None
  return 1024 * int(text.partition('MemAvailable:')[2].split()[0])


def _read_coco(
  path: Path, file: coco_file.File, settings: dict[str, Any]
) -> tuple[People, Skeleton, list[str]]:
  try:
    return coco.read(file, **settings)
  except UserError as error:
    raise UserError(f'{path}: {error}') from error


def _pairs(skeleton: Skeleton) -> str:
  """Lists the joints that change places in a mirror."""
  pairs = [
    f'{skeleton.joints[a]}:{skeleton.joints[b]}'
    for a, b in enumerate(skeleton.flip)
    if a < b
  ]
  return f'mirror pairs: {", ".join(pairs) or "none"}'
