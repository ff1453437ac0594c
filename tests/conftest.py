from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def mpii_data() -> Path:
  """The development copy of MPII beside the repository; skips without it."""
  folder = Path(__file__).parents[2] / 'shared' / 'data' / 'mpii'
  if not folder.is_dir():
    pytest.skip('no shared/data/mpii beside the repository')
  return folder
