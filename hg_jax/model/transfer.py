"""The weights of a network for a network of other joints.

Axes: C channels, J joints of the old network, K joints of the new one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def carry_over(
  variables: dict[str, Any],  # of the old network
  fresh: dict[str, Any],  # of the new one, before training
  indices: Sequence[int | None],  # for each new joint, the old one
) -> dict[str, Any]:
  """Returns the old weights, those of joints by `indices`, the rest fresh.

  Only the convolutions to and from heatmaps know of joints.
  """
  params = dict(variables['params'])
  for name in params:
    if name.startswith('stack'):
      new = fresh['params'][name]
      params[name] = {
        **params[name],
        'heatmaps': {
          leaf: _pick(params[name]['heatmaps'][leaf], array, indices, axis=-1)
          for leaf, array in new['heatmaps'].items()
        },
      }
      if 'remap_heatmaps' in new:
        old = params[name]['remap_heatmaps']
        kernel = _pick(
          old['kernel'], new['remap_heatmaps']['kernel'], indices, axis=-2
        )
        params[name]['remap_heatmaps'] = {**old, 'kernel': kernel}
  return {**variables, 'params': params}


def _pick(
  old: np.ndarray, fresh: np.ndarray, indices: Sequence[int | None], axis: int
) -> np.ndarray:
  picked = np.moveaxis(np.array(fresh), axis, 0)  # a copy
  for joint, index in enumerate(indices):
    if index is not None:
      picked[joint] = np.moveaxis(np.asarray(old), axis, 0)[index]
  return np.moveaxis(picked, 0, axis)
