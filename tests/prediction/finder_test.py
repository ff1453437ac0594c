"""Everybody in a photo, and their joints, with nothing given but the photo."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from hg_jax import prepare
from hg_jax.base.config import Augment, Config, Data, Evaluate, Model, Optimizer
from hg_jax.base.errors import UserError
from hg_jax.drawn import synthetic
from hg_jax.evaluation import evaluate_people, people_report
from hg_jax.model import people_maps
from hg_jax.prediction import finder as finder_lib
from hg_jax.prediction.finder import Finder, Search
from hg_jax.prediction.predictor import Predictor
from hg_jax.run import bundle, run_config
from hg_jax.training import train


@pytest.fixture(scope='module')
def finder_run(shallow, tmp_path_factory):
  """A finder after a few steps on drawn people, from COCO's form."""
  folder = tmp_path_factory.mktemp('finder')
  prepare.prepare(
    images=folder / 'images',
    annotations=synthetic.draw(folder, 40, seed=0),
    data_dir=folder / 'data',
    size=112,
    photo_size=128,
  )
  config = Config(
    task='people',
    model=Model(stacks=1, features=16),
    data=Data(dir=str(folder / 'data'), image_size=64),
    augment=Augment(mosaic=0.2),
    optimizer=Optimizer(learning_rate=4e-3, warmup_steps=5, clip=5.0),
    evaluate=Evaluate(batch_size=4),
    batch_size=8,
    steps=30,
    ema_decay=0.9,
    log_every=10,
    checkpoint_every=30,
    evaluate_every=30,
  )
  workdir = folder / 'run'
  workdir.mkdir()
  run_config.save(workdir, config, people_maps.SKELETON)
  train.train_and_evaluate(config, workdir)
  return workdir


def test_finder_learns_on_anybodys_pictures(finder_run):
  rows = [
    json.loads(line)
    for line in (finder_run / 'metrics.jsonl').read_text().splitlines()
  ]
  losses = [row['loss'] for row in rows if row['kind'] == 'train']
  assert losses[2] < losses[1] < losses[0]
  (valid,) = (row for row in rows if row['kind'] == 'valid')
  assert {'box_ap', 'box_recall', 'box_precision'} <= valid.keys()


def test_finder_resumes_to_the_bit(finder_run, tmp_path):
  config = dataclasses.replace(
    run_config.load(finder_run), steps=6, checkpoint_every=3, evaluate_every=6
  )
  for folder, stops in ((tmp_path / 'a', [6]), (tmp_path / 'b', [3, 6])):
    folder.mkdir()
    run_config.save(folder, config, people_maps.SKELETON)
    for steps in stops:
      train.train_and_evaluate(dataclasses.replace(config, steps=steps), folder)
  losses = [
    [
      json.loads(line)['loss']
      for line in (tmp_path / name / 'metrics.jsonl').read_text().splitlines()
    ][-1]
    for name in 'ab'
  ]
  assert losses[0] == losses[1]


def test_evaluation_of_a_finder_writes_its_numbers(finder_run, tmp_path):
  people_report.evaluate_run(
    finder_run,
    run_config.load(finder_run),
    which='best',
    split='valid',
    output=tmp_path,
  )
  numbers = json.loads((tmp_path / 'results.json').read_text())
  assert 0 <= numbers['box_recall'] <= 100 and numbers['photos'] > 0


def test_found_people_are_in_px_of_the_photo(finder_run):
  finder = Finder(finder_run)
  photo = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
  large = cv2.resize(photo, (240, 180), interpolation=cv2.INTER_NEAREST)
  small, twice = finder([photo, large], min_score=0)
  assert [p.score for p in small] == sorted(
    (p.score for p in small), reverse=True
  )
  np.testing.assert_allclose(2 * np.array(small[0].box), twice[0].box, atol=8)
  assert len(finder([photo], min_score=0, most=1)[0]) == 1
  assert finder([photo], min_score=1.1) == [[]]


def test_network_of_joints_is_no_finder(tiny_run, finder_run):
  with pytest.raises(UserError, match='finds joints, not people'):
    Finder(tiny_run)
  with pytest.raises(UserError, match='give it as the finder'):
    Predictor(finder_run)


def test_photo_of_nobody_is_looked_at_as_a_whole(finder_run):
  search = Search(finder=Finder(finder_run), min_score=1.1)
  ((person,),) = search.people([np.zeros((30, 40, 3), np.uint8)])
  assert person.box == (0, 0, 40, 30)


def test_squares_on_each_other_are_one_person():
  centers = np.array([(50, 50), (52, 50), (80, 50)], float)
  kept = evaluate_people.distinct(centers, np.full(3, 20.0), 0.5)
  assert kept.tolist() == [0, 2]


def test_finder_in_the_box_is_for_people():
  joints = run_config.load_skeleton(bundle.folder_of(bundle.BOX))
  assert finder_lib.suits(joints)
  horse = dataclasses.replace(
    joints,
    joints=('nose', 'withers', 'tail'),
    flip=(0, 1, 2),
    groups={},
    limbs=(),
  )
  assert not finder_lib.suits(horse)
