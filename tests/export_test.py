"""An exported file is the run's network, without hg_jax."""

import subprocess
import sys
from pathlib import Path

import jax.export
import numpy as np
import pytest

from hg_jax import export
from hg_jax.data import examples, images, records
from hg_jax.data.mpii import SKELETON
from hg_jax.evaluation import inference
from hg_jax.run import checkpoint


@pytest.fixture(scope='module')
def exported(tiny_run, tmp_path_factory) -> Path:
  path = tmp_path_factory.mktemp('exported') / 'pose.stablehlo'
  config = checkpoint.load_config(tiny_run)
  _, variables = inference.load_variables(tiny_run, config, 'best')
  path.write_bytes(
    export.serialize(config, variables, SKELETON, flip_test=True)
  )
  return path


@pytest.fixture(scope='module')
def crops(tiny_run, prepared) -> np.ndarray:
  """The validation people as evaluation shows them to the network."""
  config = checkpoint.load_config(tiny_run)
  people = records.read(prepared, 'valid')
  shown, _ = examples.evaluation(people, config, first=0, count=len(people))
  crops = np.array(
    [
      images.warp(people.decode(row), map_, config.data.image_size)
      for row, map_ in zip(shown.row, shown.crop_to_input, strict=True)
    ]
  )
  assert crops.shape == (6, 64, 64, 3) and crops.std() > 20
  return crops


def test_exported_function_finds_the_runs_joints(
  exported, crops, tiny_predictor
):
  function = jax.export.deserialize(bytearray(exported.read_bytes()))
  joints, scores = function.call(crops)
  expected_joints, expected_scores, _ = tiny_predictor.people(crops)
  np.testing.assert_allclose(joints, expected_joints, atol=0.05)
  np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


# What its user runs: any number of crops, and no module of ours.
PROGRAM = """
import sys
sys.modules['hg_jax'] = None
import jax.export, numpy
function = jax.export.deserialize(bytearray(open(sys.argv[1], 'rb').read()))
assert set(function.platforms) == {'cpu', 'cuda'}
crops = numpy.load(sys.argv[2])
for count in (1, 3):
  joints, scores = function.call(crops[:count])
  assert joints.shape == (count, 16, 2) and scores.shape == (count, 16)
numpy.savez(sys.argv[2] + '.npz', joints=joints, scores=scores)
"""


def test_exported_file_needs_nothing_but_jax(
  exported, crops, tiny_predictor, tmp_path
):
  np.save(tmp_path / 'crops.npy', crops)
  subprocess.run(
    [sys.executable, '-c', PROGRAM, exported, tmp_path / 'crops.npy'],
    check=True,
  )
  theirs = np.load(tmp_path / 'crops.npy.npz')
  joints, scores, _ = tiny_predictor.people(crops)
  np.testing.assert_allclose(theirs['joints'], joints[:3], atol=0.05)
  np.testing.assert_allclose(theirs['scores'], scores[:3], atol=1e-5)


def test_command_asks_for_a_missing_flag(tiny_run):
  result = subprocess.run(
    [sys.executable, '-m', 'hg_jax.export', f'--workdir={tiny_run}'],
    capture_output=True,
    text=True,
  )
  assert result.returncode == 1
  assert result.stderr.splitlines()[-1] == (
    'error: --output is missing; see --help.'
  )
