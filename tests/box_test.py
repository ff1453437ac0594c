"""The network that comes with the package."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from hg_jax import Predictor
from hg_jax.annotations import boxes, mpii
from hg_jax.base import skeleton as skeleton_lib
from hg_jax.base.config import Config, Data, Model
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import inference
from hg_jax.input import records
from hg_jax.metrics import pck
from hg_jax.run import bundle, checkpoint, run_config
from hg_jax.training import optimizer, train

ROOT = Path(__file__).parents[1]
BOX = bundle.folder_of('box')


def test_box_is_small_and_says_what_it_is():
  assert sum(path.stat().st_size for path in BOX.iterdir()) < 8e6
  card = (BOX / 'README.md').read_text()
  for word in ('Data', 'research use', 'Scores', 'Failures', 'Commands'):
    assert word in card
  assert run_config.load_skeleton(BOX).joints == mpii.SKELETON.joints


def test_predict_needs_no_workdir_and_says_what_looks(prepared, tmp_path):
  images = Path(records.source(prepared)['images'])
  photo = sorted(images.glob('*.jpg'))[0]
  command = [sys.executable, '-m', 'hg_jax.predict', str(photo)]
  done = subprocess.run(
    [*command, f'--output={tmp_path}'], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  assert 'the network in the box, person128' in done.stdout
  assert (tmp_path / f'{photo.stem}_overlay.jpg').exists()


def test_box_has_no_checkpoint_to_choose():
  config = run_config.load(BOX)
  for which in ('7', '', '-1'):
    with pytest.raises(UserError, match=f"no checkpoint '{which}'; ask for"):
      inference.load_variables(BOX, config, which)


def test_training_from_the_box_keeps_joints_of_the_same_name(tmp_path):
  config = run_config.load(BOX)
  mine = Config(
    model=Model(stacks=config.model.stacks, features=config.model.features),
    data=Data(image_size=64),
    init_from='box',
  )
  skeleton = Skeleton(
    joints=('tail', 'left_wrist'), flip=(0, 1), groups={}, limbs=()
  )
  checkpoints = checkpoint.Checkpoints(tmp_path, writable=True)
  state = train._initial_state(
    mine, optimizer.make_optimizer(mine), skeleton, checkpoints
  )
  checkpoints.close()
  _, box = inference.load_variables(BOX, config, 'best')
  wrist = mpii.SKELETON.joints.index('l_wrist')
  assert skeleton_lib.matches(mpii.SKELETON, skeleton) == [None, wrist]
  old, new = (
    variables['params']['stack1'] for variables in (box, state.variables)
  )
  np.testing.assert_array_equal(
    new['heatmaps']['kernel'][..., 1], old['heatmaps']['kernel'][..., wrist]
  )
  jax.tree.map(
    np.testing.assert_array_equal, new['hourglass'], old['hourglass']
  )


def test_box_finds_the_joints_of_people_as_its_card_says(mpii_data):
  people = mpii.load_evaluation(mpii_data / 'annot' / 'valid.h5')
  there = [(mpii_data / 'images' / name).exists() for name in people.image]
  people = people[np.flatnonzero(there)]
  assert len(people) == 270
  predictor = Predictor()
  joints = []
  for name, center, side in zip(
    people.image, people.center, people.side, strict=True
  ):
    w = side / boxes.ROOM
    box = (*(center - w / 2), w, w)
    found = predictor(mpii_data / 'images' / name, box=box)
    joints.append(found.joints[0])
  metric = pck.create_metric(mpii.SKELETON)
  counts = pck.count(
    np.stack(joints),
    people.joints,
    people.labeled,
    people.visible,
    people.reference,
    thresholds=metric.thresholds,
  )
  told = json.loads((ROOT / 'results' / 'box' / 'mpii.json').read_text())[0]
  assert told['people'] == 270
  # Evaluated on stored crops, which are JPEGs, rather than on the photos.
  for name, total in metric.at(metric.totals, counts).items():
    assert total == pytest.approx(told['totals'][name], abs=1)


def test_readme_and_docs_have_the_tables_that_results_make():
  spec = importlib.util.spec_from_file_location('r', ROOT / 'launch/results.py')
  results = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(results)
  for name, table in (
    ('box', results.table_of_the_box()),
    ('experiments', results.table_of_experiments()),
  ):
    assert (ROOT / 'results' / f'{name}.md').read_text() == table + '\n'
    assert table in (ROOT / 'docs' / 'results.md').read_text()
  assert results.first_table() in (ROOT / 'README.md').read_text()
