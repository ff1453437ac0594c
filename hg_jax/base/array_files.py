"""Reads files of arrays: NumPy's .npz and MATLAB's .mat."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from hg_jax.base import files
from hg_jax.base.errors import UserError

# What SciPy, h5py and NumPy raise on a damaged file.
UNREADABLE = (
  AttributeError,
  EOFError,
  LookupError,
  NotImplementedError,
  OSError,
  OverflowError,
  RuntimeError,  # h5py's and zipfile's
  TypeError,
  UnboundLocalError,  # SciPy's
  ValueError,
  scipy.io.matlab.MatReadError,
  struct.error,
  zipfile.BadZipFile,
  zlib.error,
)


@contextmanager
def reading(path: Path, advice: str = '') -> Iterator[None]:
  """Raises a UserError for whatever a library says of a file it cannot read.

  Args:
    path: the file.
    advice: a sentence on what to do.
  """
  try:
    yield
  except UNREADABLE as error:
    reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
    raise UserError(
      f'{path} cannot be read ({reason}). {advice}'.rstrip()
    ) from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
  """Reads all arrays of a file.

  Raises:
    OSError: the system does not give the file.
    ValueError: it is damaged, or not an .npz; says how.
  """
  with files.open_to_read(path) as file:
    # NumPy would advise to load other files as a pickle.
    if not zipfile.is_zipfile(file):
      raise ValueError('it is not an .npz file, or cut short')
    file.seek(0)
    try:
      with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
    except UNREADABLE as error:
      raise ValueError(' '.join(str(error).split())) from error


def mat_names(path: Path) -> list[str]:
  """Lists the variables of a file.

  Raises:
    UNREADABLE: the file is damaged or of another form.
  """
  return [name for name, *_ in scipy.io.whosmat(path)]


def read_mat(path: Path, variables: list[str], **options: Any) -> dict:
  """Reads those of the variables that a file has.

  Args:
    path: the file.
    variables: their names.
    **options: of `scipy.io.loadmat`.

  Raises:
    UNREADABLE: the file is damaged or of another form.
  """
  if h5py.is_hdf5(path):
    raise ValueError("it is of MATLAB's form -v7.3; save it with -v7 instead")
  return scipy.io.loadmat(path, variable_names=variables, **options)
