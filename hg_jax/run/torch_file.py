"""Reads weights from files that PyTorch saved, without running code in them."""

import argparse
import contextlib
import pickle
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hg_jax.base import files
from hg_jax.base.errors import UserError

# What torch.load raises of files that are not its own.
_UNREADABLE = (
  AssertionError, AttributeError, EOFError, LookupError, OverflowError,
  RuntimeError, TypeError, ValueError, pickle.UnpicklingError,
)  # fmt: skip


def import_torch(purpose: str) -> ModuleType:
  """Imports PyTorch, or raises UserError that says what needs it."""
  try:
    import torch
  except ImportError as error:
    raise UserError(
      f'{purpose} needs PyTorch, which is not installed: pip install torch'
    ) from error
  return torch


def read(path: Path, head: str) -> dict[str, np.ndarray]:
  """Reads the network's state_dict from a file that PyTorch saved.

  It may lie within a checkpoint, under any name, beside numbers, options and
  optimizer states.

  Args:
    path: the file.
    head: the last part of a name that only such networks have.

  Raises:
    UserError: PyTorch is not installed, the file cannot be read without
      running code that it holds, or it has no tensors or several networks.
  """
  torch = import_torch(f'reading {path}')
  try:
    with (
      files.open_to_read(path) as file,
      torch.serialization.safe_globals(_harmless()),
      warnings.catch_warnings(action='ignore'),  # We say what is wrong.
    ):
      saved = torch.load(file, map_location='cpu', weights_only=True)
  except OSError as error:
    raise UserError(f'cannot read {path}: {error.strerror}') from error
  except _UNREADABLE as error:
    alone = 'save the state_dict alone: torch.save(model.state_dict(), FILE).'
    if refused := re.search(r'GLOBAL (\S+) was not an allowed', str(error)):
      raise UserError(
        f'{path} holds an object of {refused[1]}, and reading it could run '
        f'code; {alone}'
      ) from error
    raise UserError(
      f'{path} is no file of PyTorch weights that can be read without running '
      f'code that it may hold ({_reason(error)}); {alone}'
    ) from error
  dicts = dict(_tensor_dicts(saved, torch.Tensor, '', ()))
  networks = {name: d for name, d in dicts.items() if _ends(d, head)}
  if len(networks) > 1:
    raise UserError(
      f'{path} holds {len(networks)} networks, {", ".join(sorted(networks))}; '
      'save the state_dict of one alone.'
    )
  if not dicts:
    raise UserError(f'{path} holds no state_dict: a dict of names and tensors')
  # Without a network of PORT's, the first shows what there is instead.
  state_dict = next(iter((networks or dicts).values()))
  return {
    name: _to_numpy(value, f'{path} has {name}')
    for name, value in state_dict.items()
  }


def _reason(error: Exception) -> str:
  """What PyTorch says, without its advice to run the code."""
  text = str(error).rpartition('WeightsUnpickler error: ')[2].strip()
  return f'{type(error).__name__}: {text}'.splitlines()[0][:150]


def _to_numpy(value: Any, where: str) -> np.ndarray:
  """A tensor's numbers; of half precision they become float32, as computed.

  Raises:
    UserError: they are not finite, or it has none.
  """
  array = None
  if not (value.is_complex() or value.is_quantized):
    # Of a tensor that is sparse, or of which the shape alone was saved.
    with contextlib.suppress(RuntimeError, TypeError):
      array = value.detach().float().numpy()
  if array is None or not np.isfinite(array).all():
    raise UserError(f'{where}, which is not a plain tensor of finite numbers.')
  return array


def _harmless() -> list[Any]:
  """Returns types of plain values that checkpoints hold beside tensors."""
  multiarray = np._core.multiarray
  return [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in '?bhilqBHILQefd'},
    *(
      (getattr(multiarray, name), f'numpy.{core}.multiarray.{name}')
      for name in ('scalar', '_reconstruct')
      for core in ('core', '_core')  # of NumPy 1 and 2
    ),
  ]


def _tensor_dicts(
  value: Any, tensor: type, name: str, within: tuple[int, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Yields every dict that has names of tensors, within dicts, by its name."""
  if not isinstance(value, dict) or id(value) in within:
    return
  within += (id(value),)
  tensors = {
    key: item
    for key, item in value.items()
    if isinstance(key, str) and isinstance(item, tensor)
  }
  if tensors:
    yield name, tensors
  for key, item in value.items():
    yield from _tensor_dicts(
      item, tensor, f'{name}.{key}'.removeprefix('.'), within
    )


def _ends(names: Iterable[str], ending: str) -> bool:
  return any(f'.{name}'.endswith(f'.{ending}') for name in names)
