"""The package, built into a wheel and used away from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hg_jax import __main__

ROOT = Path(__file__).parents[1]
PACKED = ('.py', '.csv', '.npz', '.json', '.md', '.svg')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
  """The folder that pip would unpack the wheel into."""
  folder = tmp_path_factory.mktemp('wheel')
  # A copy, since setuptools leaves files beside what it builds.
  source = folder / 'source'
  skip = shutil.ignore_patterns('__pycache__')
  for name in ('hg_jax', 'configs'):
    shutil.copytree(ROOT / name, source / name, ignore=skip)
  for name in ('pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  build = (
    'from setuptools import build_meta; print(build_meta.build_wheel(".."))'
  )
  subprocess.run(
    [sys.executable, '-c', build], cwd=source, check=True, capture_output=True
  )
  unpacked = folder / 'unpacked'
  with zipfile.ZipFile(*folder.glob('*.whl')) as archive:
    archive.extractall(unpacked)
  return unpacked


def run(wheel: Path, folder: Path, *arguments: str):
  """Runs `python -m hg_jax` of the wheel in a folder."""
  return subprocess.run(
    [sys.executable, '-m', 'hg_jax', *arguments],
    cwd=folder,
    env=os.environ | {'PYTHONPATH': str(wheel)},
    capture_output=True,
    text=True,
  )


def test_wheel_holds_the_package_and_the_configs(wheel):
  packed = {
    str(path.relative_to(wheel))
    for path in (wheel / 'hg_jax').rglob('*')
    if path.suffix in PACKED
  }
  assert packed == {
    str(prefix / path.relative_to(folder))
    for prefix, folder in (
      (Path('hg_jax'), ROOT / 'hg_jax'),
      (Path('hg_jax/configs'), ROOT / 'configs'),
    )
    for path in folder.rglob('*')
    if path.suffix in PACKED
  }


@pytest.mark.parametrize('name', ['quickstart', 'configs/quickstart.py'])
def test_wheel_finds_its_configs_by_name(wheel, tmp_path, name):
  # Any setting of the file shows that it was loaded; the value is refused.
  process = run(wheel, tmp_path, 'main', f'--config={name}', '--config.steps=0')
  assert process.returncode == 1
  assert process.stderr.splitlines() == [
    'error: config.steps is 0; it must be a whole number of at least 1.'
  ]


def test_command_line_lists_every_command(wheel, tmp_path):
  process = run(wheel, tmp_path)
  assert process.returncode == 0
  for name, line in __main__.commands().items():
    assert f'  {name} ' in process.stdout and line in process.stdout
  assert {'main', 'predict'} <= __main__.commands().keys()


def test_command_line_suggests_the_nearest_command(wheel, tmp_path):
  process = run(wheel, tmp_path, 'pedict')
  assert process.returncode == 1
  assert process.stderr.splitlines() == [
    'error: there is no command pedict; did you mean predict?'
  ]
