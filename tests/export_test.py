"""An exported file is the run's network, without hg_jax."""

import io
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import jax.export
import numpy as np
import pytest

from hg_jax import export
from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.config import Config, Data, Model
from hg_jax.base.errors import UserError
from hg_jax.evaluation import inference
from hg_jax.input import crops as cropping
from hg_jax.input import examples, records
from hg_jax.model import hourglass
from hg_jax.prediction.predictor import Predictor
from hg_jax.run import bundle, run_config


@pytest.fixture(scope='module')
def exported(tiny_run, tmp_path_factory) -> Path:
  path = tmp_path_factory.mktemp('exported') / 'pose.stablehlo'
  config = run_config.load(tiny_run)
  _, variables = inference.load_variables(tiny_run, config, 'best')
  path.write_bytes(
    export.to_stablehlo(config, variables, SKELETON, flip_test=True)
  )
  return path


@pytest.fixture(scope='module')
def crops(tiny_run, prepared) -> np.ndarray:
  return crops_of(run_config.load(tiny_run), prepared)


def crops_of(config, prepared) -> np.ndarray:
  """The validation people as evaluation shows them to the network."""
  people = records.read(prepared, 'valid')
  shown, _ = examples.evaluation(people, config, first=0, count=len(people))
  size = config.data.image_size
  crops = np.array(
    [
      cropping.warp(people.decode(row), map_, size)
      for row, map_ in zip(shown.row, shown.crop_to_input, strict=True)
    ]
  )
  assert crops.shape == (6, size, size, 3) and crops.std() > 20
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
import json, jax.export, numpy
function = jax.export.deserialize(bytearray(open(sys.argv[1], 'rb').read()))
assert set(function.platforms) == {'cpu', 'cuda'}
crops = numpy.load(sys.argv[2])
for count in (1, 3):
  joints, scores = function.call(crops[:count])
  assert joints.shape == (count, 16, 2) and scores.shape == (count, 16)
assert json.loads(function.fun_name)['joints'][:2] == ['r_ankle', 'r_knee']
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


def test_tflite_file_finds_the_joints_of_the_network(prepared, tmp_path):
  tf = pytest.importorskip('tensorflow')
  config = Config(model=Model(stacks=1, features=8), data=Data(image_size=128))
  model = hourglass.create_model(config, joints=16)
  variables = hourglass.create_variables(model, 0, 128)
  data = export.to_tflite(config, variables, SKELETON, flip_test=True)
  with zipfile.ZipFile(io.BytesIO(data)) as archive:
    assert archive.read('joints.txt').decode().split() == list(SKELETON.joints)
  runtime = tf.lite.Interpreter(model_content=data)
  runtime.allocate_tensors()
  (crop,) = runtime.get_input_details()
  assert crop['shape'].tolist() == [1, 128, 128, 3]
  bundle.save(tmp_path, config, SKELETON, variables)
  predictor = Predictor(tmp_path)
  crops = crops_of(config, prepared)[:3]
  expected_joints, expected_scores, _ = predictor.people(crops, size=1)
  for person, picture in enumerate(crops):
    runtime.set_tensor(crop['index'], picture[None])
    runtime.invoke()
    joints, scores = sorted(
      (runtime.get_tensor(o['index']) for o in runtime.get_output_details()),
      key=lambda output: -output.ndim,
    )
    np.testing.assert_allclose(joints[0], expected_joints[person], atol=0.05)
    np.testing.assert_allclose(scores[0], expected_scores[person], atol=1e-5)


def test_tflite_refuses_inputs_of_64_px():
  config = Config(data=Data(image_size=64))
  with pytest.raises(UserError, match='128 px or more, not 64'):
    export.to_tflite(config, {}, SKELETON, flip_test=True)


def test_weights_serve_as_a_workdir(tiny_run, tiny_predictor, crops, tmp_path):
  command = [sys.executable, '-m', 'hg_jax.export', f'--workdir={tiny_run}']
  command += [f'--output={tmp_path / "mine"}', '--format=weights']
  subprocess.run(command, check=True)
  again = Predictor(tmp_path / 'mine')
  for mine, theirs in zip(
    again.people(crops), tiny_predictor.people(crops), strict=True
  ):
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize('form', ['stablehlo', 'weights'])
def test_failed_export_leaves_the_earlier_one(form, tiny_run, tmp_path):
  earlier = tmp_path / ('weights.npz' if form == 'weights' else 'pose')
  earlier.write_text('earlier')
  output = tmp_path if form == 'weights' else earlier
  result = subprocess.run(
    [
      sys.executable,
      *('-m', 'hg_jax.export', f'--workdir={tiny_run}'),
      *(f'--output={output}', f'--format={form}'),
    ],
    capture_output=True,
    text=True,
    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)),
    env=os.environ | {'JAX_ENABLE_COMPILATION_CACHE': 'false'},
  )
  assert result.returncode == 1 and 'error: ' in result.stderr
  assert 'Traceback' not in result.stderr
  assert earlier.read_text() == 'earlier'
  assert list(tmp_path.iterdir()) == [earlier]


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
