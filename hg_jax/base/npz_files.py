"""Reads NumPy's .npz files."""

import zipfile
from pathlib import Path

import numpy as np

from hg_jax.base import files
from hg_jax.base.unreadable import UNREADABLE


def read(path: Path) -> dict[str, np.ndarray]:
  """Reads all arrays of a file.

  Raises:
    OSError: the system does not give it.
    ValueError: it is damaged, or no .npz; says how.
  """
  with files.open_to_read(path) as file:
    # Else NumPy advises to load it as a pickle.
    if not zipfile.is_zipfile(file):
      raise ValueError('it is no .npz file, or cut short')
    file.seek(0)
    try:
      with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
    except UNREADABLE as error:
      raise ValueError(' '.join(str(error).split())) from error
