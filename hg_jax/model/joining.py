"""The variables of all stacks as one, for the train step that loops over them.

Files and everything but that step have 'stack0', 'stack1' and so on. Joined,
they are 'stacks', whose leaves have an axis of stacks in front: an eighth of
the arrays for XLA to compile and for every step to hand over. The last stack
has no weights to hand on features with; joined, it has zeros, which no
gradient ever reaches.

Trees may be those of variables, of an optimizer's state, or whole
`TrainState`s; what is in them is NumPy's.
"""

from typing import Any

import jax
import numpy as np


def join(tree: Any) -> Any:
  """Every 'stack0', 'stack1', ... in the tree becomes 'stacks'."""
  return jax.tree.map(
    lambda x: _join(x) if _has(x, 'stack0') else x,
    tree,
    is_leaf=lambda x: _has(x, 'stack0'),
  )


def unjoin(tree: Any) -> Any:
  """The inverse."""
  return jax.tree.map(
    lambda x: _unjoin(x) if _has(x, 'stacks') else x,
    tree,
    is_leaf=lambda x: _has(x, 'stacks'),
  )


def _has(tree: Any, name: str) -> bool:
  return isinstance(tree, dict) and name in tree


def _join(variables: dict[str, Any]) -> dict[str, Any]:
  rest = dict(variables)
  count = sum(name.startswith('stack') for name in variables)
  stacks = [rest.pop(f'stack{i}') for i in range(count)]
  stacks[-1] = {**jax.tree.map(np.zeros_like, stacks[0]), **stacks[-1]}
  return {**rest, 'stacks': jax.tree.map(lambda *x: np.stack(x), *stacks)}


def _unjoin(variables: dict[str, Any]) -> dict[str, Any]:
  rest = dict(variables)
  stacks = rest.pop('stacks')
  count = len(jax.tree.leaves(stacks)[0])
  for i in range(count):
    # A copy: views would keep the whole alive, and be saved as it.
    part = jax.tree.map(lambda x, i=i: np.array(x[i]), stacks)
    if i + 1 == count:
      part = {k: v for k, v in part.items() if not k.startswith('remap_')}
    rest[f'stack{i}'] = part
  return rest
