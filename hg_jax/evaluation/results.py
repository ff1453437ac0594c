"""What results.json says of the people and of the code of an evaluation."""

import base64
import json
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hg_jax.annotations.people import People
from hg_jax.base.skeleton import Skeleton


def people_id(
  image: np.ndarray,  # str[P]
  image_index: np.ndarray,  # i32[P]
  person_index: np.ndarray,  # i32[P]
) -> str:
  """Returns a checksum of who the people are, in any order."""
  columns = (x.tolist() for x in (image, image_index, person_index))
  people = sorted(zip(*columns, strict=True))
  return f'{zlib.crc32(json.dumps(people).encode()):08x}'


def pack_hits(
  people: People,
  correct: dict[str, np.ndarray],  # bool[P, K] by 'below' and 'within'
) -> dict[str, str]:
  """Returns who has which joint right, and which is scored, as text.

  People are in the order of their names and indices.
  """
  order = np.lexsort((people.person_index, people.image_index, people.image))
  return {
    name: base64.b64encode(np.packbits(array[order])).decode()
    for name, array in (correct | {'scored': people.scored()}).items()
  }


def unpack_hits(
  results: dict[str, Any], skeleton: Skeleton
) -> dict[str, np.ndarray]:  # bool[P, K]
  """The inverse of `pack_hits`, of the contents of a results.json."""
  shape = results['people'], len(skeleton.joints)
  return {
    name: np.unpackbits(
      np.frombuffer(base64.b64decode(text), np.uint8), count=shape[0] * shape[1]
    )
    .reshape(shape)
    .astype(bool)
    for name, text in results['hits'].items()
  }


def commit() -> str | None:
  """The commit of this code, with a + if it was changed; None if unknown."""
  command = ['git', 'describe', '--always', '--exclude=*', '--dirty=+']
  folder = Path(__file__).parents[2]
  if not (folder / '.git').exists():
    return None
  try:
    done = subprocess.run(
      command, cwd=folder, capture_output=True, text=True, check=True
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()
