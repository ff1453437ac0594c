"""Reads the skeleton that a run or prepared records were saved with."""

from typing import Any

from hg_jax.annotations.mpii_skeleton import SKELETON
from hg_jax.base import skeleton
from hg_jax.base.skeleton import Skeleton


def read(fields: dict[str, Any]) -> Skeleton:
  """Reads the skeleton of a run's config.json or of records' metadata.json.

  Older files have no field 'skeleton': their joints are MPII's.
  """
  if 'skeleton' not in fields:
    return SKELETON
  return skeleton.from_json(fields['skeleton'])
