"""Trees of named arrays as one array each.

The train step is called with the weights, the batch statistics, each moment
of the optimizer and each average as one array. With an array for each name a
step of eight stacks hands over five thousand, which takes Python longer than
a GPU takes for the step, and gradients are averaged over devices in hundreds
of collectives where one will do.
"""

import math
from typing import Any, NamedTuple

import flax
import jax
import numpy as np


class Layout(NamedTuple):
  """The names, in a tree's structure, and the shapes of its leaves."""

  structure: Any
  shapes: tuple[tuple[int, ...], ...]


class Flat(flax.struct.PyTreeNode):
  """A tree of arrays of one dtype, one after the other.

  Attributes:
    values: [size of all leaves].
    layout: how to take them apart.
  """

  values: jax.Array | np.ndarray
  layout: Layout = flax.struct.field(pytree_node=False)

  @classmethod
  def of(cls, tree: Any) -> 'Flat':
    """Flattens a tree of NumPy or JAX arrays into one of the same kind."""
    leaves, structure = jax.tree.flatten(tree)
    assert len({leaf.dtype for leaf in leaves}) == 1
    xp = leaves[0].__array_namespace__()
    values = xp.concatenate([leaf.reshape(-1) for leaf in leaves])
    return cls(values, Layout(structure, tuple(leaf.shape for leaf in leaves)))

  def tree(self) -> Any:
    """Returns the tree; of NumPy arrays, with memory of their own."""
    xp = self.values.__array_namespace__()
    shapes = self.layout.shapes
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = xp.split(self.values, ends[:-1])
    leaves = [p.reshape(s) for p, s in zip(parts, shapes, strict=True)]
    if xp is np:  # A view would keep the whole in memory.
      leaves = [leaf.copy() for leaf in leaves]
    return jax.tree.unflatten(self.layout.structure, leaves)


def flatten(state: Any) -> Any:
  """Replaces each tree of named arrays in a state by a `Flat`."""
  return jax.tree.map(
    lambda x: Flat.of(x) if _is_named(x) else x, state, is_leaf=_is_named
  )


def unflatten(state: Any) -> Any:
  """Replaces each `Flat` in a state by its tree."""
  return jax.tree.map(
    lambda x: x.tree() if _is_flat(x) else x, state, is_leaf=_is_flat
  )


def _is_flat(tree: Any) -> bool:
  return isinstance(tree, Flat)


def _is_named(tree: Any) -> bool:
  """Whether it is a tree of names, and not Flax's of such trees."""
  return isinstance(tree, dict) and 'params' not in tree
