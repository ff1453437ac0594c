"""Tells whether a checkpoint is what was saved, by checksums and errors."""

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict

from hg_jax.base.errors import UserError

# tensorstore's statuses of files that are missing or have the wrong contents;
# all others, such as RESOURCE_EXHAUSTED, may pass.
_DAMAGE = (
  'DATA_LOSS',
  'FAILED_PRECONDITION',
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'OUT_OF_RANGE',
)
_OLD_STEM = 64  # channels of the first convolution, once of every network


class Corrupt(Exception):
  """A checkpoint differs from what was saved; says how."""


class Deleted(Exception):
  """The run deleted a checkpoint while it was being read."""


@contextmanager
def reading(folder: Path) -> Iterator[None]:
  """Tells damage from what may pass, such as too many open files.

  Raises:
    Corrupt: a file of the checkpoint in `folder` is missing or malformed.
    Deleted: the folder is gone.
    UserError: it cannot be read now.
  """
  try:
    yield
  # What orbax and tensorstore raise for a file that is missing or malformed.
  except (
    AttributeError,
    KeyError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
  ) as error:
    # Where the system refuses a folder, orbax says that it is not there.
    error = _refusal(folder) or error
    reason = ' '.join((str(error) or repr(error)).split())[:120]
    status = re.match('([A-Z_]+): ', str(error))
    passing = status and status[1] not in _DAMAGE
    if isinstance(error, (OSError, MemoryError)):
      passing = not isinstance(error, FileNotFoundError)
    if passing:
      raise UserError(
        f'{folder} cannot be read now: {reason}. It is left as it is; mend '
        'that and try again.'
      ) from error
    if not folder.exists():
      raise Deleted(folder) from error
    raise Corrupt(f'{folder} cannot be read ({reason})') from error


def _refusal(folder: Path) -> OSError | None:
  """What the system says if it refuses to list a folder of a checkpoint."""
  met = []
  for _ in os.walk(folder, onerror=met.append):
    pass
  return next((e for e in met if not isinstance(e, FileNotFoundError)), None)


def layout(tree: Any) -> int:
  """Returns a checksum of the names, dtypes and shapes of a tree."""
  lines = [
    f'{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}'
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  ]
  return zlib.crc32('\n'.join(lines).encode())


def other_layout(folder: Path, tree: dict[str, Any]) -> str:
  """Says why a checkpoint does not hold the tree that was asked for."""
  kernel = ('params', 'stem', 'conv', 'kernel')
  for name in ('variables', 'ema'):
    wanted = flatten_dict(tree.get(name, {})).get(kernel)
    if wanted is None:
      continue
    handler = ocp.PyTreeCheckpointHandler()
    saved = handler.metadata(folder.resolve() / 'state').tree.get(name, {})
    saved = flatten_dict(saved).get(kernel)
    if saved and saved.shape[-1] == _OLD_STEM != wanted.shape[-1]:
      return (
        f'{folder} was saved before the stem scaled with features: its first '
        f'convolution has {_OLD_STEM} channels, now it has '
        f'{wanted.shape[-1]}; train it again.'
      )
  return f'{folder} is of another network or optimizer.'


def crc32(tree: Any) -> int:
  """Returns a checksum of the numbers in a tree."""
  value = 0
  for leaf in jax.tree.leaves(tree):
    value = zlib.crc32(np.ascontiguousarray(leaf), value)
  return value
