"""Carries the weights of a network over to a network with other joints.

Axes: C channels, J joints of the old network, K joints of the new one.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np


def carry_over(
  variables: dict[str, Any],  # of the old network
  fresh: dict[str, Any],  # of the new one, before training
  indices: Sequence[int | None],  # for each new joint, the old one
) -> dict[str, Any]:
  """Returns the old weights, with the joints chosen by `indices`.

  Joints that the old network lacks keep their fresh weights. Only the
  convolutions to and from heatmaps depend on joints. Additional stacks start
  as copies of the last stack with the same input, so the prediction does not
  change. For fewer stacks, the first ones are kept.
  """
  carried = {
    kind: {
      name: variables[kind][_source(name, variables[kind])] for name in tree
    }
    for kind, tree in fresh.items()
  }
  params = carried['params']
  for name, new in fresh['params'].items():
    if name.startswith('stack'):
      old = params[name]
      params[name] = {
        leaf: old[leaf] if leaf in old else _zeros(new[leaf]) for leaf in new
      }
      params[name]['heatmaps'] = {
        leaf: _pick(old['heatmaps'][leaf], array, indices, axis=-1)
        for leaf, array in new['heatmaps'].items()
      }
      if 'remap_heatmaps' in old and 'remap_heatmaps' in new:
        remap = old['remap_heatmaps']
        kernel = _pick(
          remap['kernel'], new['remap_heatmaps']['kernel'], indices, axis=-2
        )
        params[name]['remap_heatmaps'] = {**remap, 'kernel': kernel}
  return carried


def _source(name: str, old: dict[str, Any]) -> str:
  """Returns which old part `name` starts from: itself, or the last stack."""
  if name in old:
    return name
  stacks = sum(name.startswith('stack') for name in old)
  return f'stack{stacks - 1}'


def _zeros(tree: Any) -> Any:
  return jax.tree.map(lambda array: np.zeros(array.shape, array.dtype), tree)


def _pick(
  old: np.ndarray, fresh: np.ndarray, indices: Sequence[int | None], axis: int
) -> np.ndarray:
  picked = np.moveaxis(np.array(fresh), axis, 0)  # a copy
  for joint, index in enumerate(indices):
    if index is not None:
      picked[joint] = np.moveaxis(np.asarray(old), axis, 0)[index]
  return np.moveaxis(picked, 0, axis)
