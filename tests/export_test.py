"""An exported file is the run's network, without hg_jax."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hg_jax import export
from hg_jax.base.errors import UserError
from hg_jax.evaluation import inference
from hg_jax.model import hourglass
from hg_jax.run import checkpoint


@pytest.fixture(scope='module')
def config(tiny_run):
  return checkpoint.load_config(tiny_run)


@pytest.fixture(scope='module')
def exported(tiny_run, config, tmp_path_factory) -> Path:
  _, variables = inference.load_variables(tiny_run, config, 'best')
  path = tmp_path_factory.mktemp('exported') / 'pose.stablehlo'
  path.write_bytes(export.serialize(config, variables, flip_test=True))
  return path


def test_the_file_finds_the_runs_joints_in_prepared_people(
  exported, config, prepared, tiny_predictor
):
  crops = export.prepared_people(config, prepared)
  assert crops.shape == (6, 64, 64, 3)  # the fixture's validation people
  joints, scores = export.compare(exported, tiny_predictor, crops)
  assert joints <= 0.05 and scores <= 1e-5
  assert exported.exists()


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


def test_the_file_needs_nothing_but_jax(
  exported, config, tiny_predictor, tmp_path
):
  crops = export.drawn_people(config)
  assert crops.std() > 20  # They are pictures.
  np.save(tmp_path / 'crops.npy', crops)
  subprocess.run(
    [sys.executable, '-c', PROGRAM, exported, tmp_path / 'crops.npy'],
    check=True,
  )
  theirs = np.load(tmp_path / 'crops.npy.npz')
  joints, scores, _ = tiny_predictor.people(crops)
  np.testing.assert_allclose(theirs['joints'], joints[:3], atol=0.05)
  np.testing.assert_allclose(theirs['scores'], scores[:3], atol=1e-5)


def test_a_file_of_another_network_is_deleted(exported, config, tmp_path):
  copy = tmp_path / 'pose.stablehlo'
  copy.write_bytes(exported.read_bytes())
  model = hourglass.create_model(config)
  other = inference.Predictor(
    model, hourglass.create_variables(model, 1, 64), image_size=64
  )
  crops = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8)
  with pytest.raises(UserError, match='joints differ by'):
    export.compare(copy, other, crops)
  assert not copy.exists()


def test_the_command_asks_for_what_is_missing(tiny_run):
  result = subprocess.run(
    [sys.executable, '-m', 'hg_jax.export', f'--workdir={tiny_run}'],
    capture_output=True,
    text=True,
  )
  assert result.returncode == 1
  assert result.stderr.splitlines()[-1] == (
    'error: --output is missing; see --help.'
  )
