"""Someone else's data: pictures of cranes, five joints, no left or right."""

import json

import cv2
import numpy as np
import pytest

from hg_jax import main, prepare
from hg_jax.base.config import Augment, Config, Data, Evaluate, Model, Optimizer
from hg_jax.evaluation import report
from hg_jax.input import records
from hg_jax.run import run_config

JOINTS = {
  'base': (255, 0, 0),
  'mast': (0, 255, 0),
  'elbow': (0, 0, 255),
  'boom': (255, 255, 0),
  'hook': (255, 0, 255),
}
SIDE = 96  # px of the pictures


def draw_cranes(folder, count: int) -> None:
  """Draws pictures and cranes.json, as annotation tools write it."""
  rng = np.random.default_rng(0)
  (folder / 'images').mkdir()
  annotations = []
  for n in range(count):
    points = np.array([[48, 84], [48, 54], [36, 36], [60, 18], [72, 42]])
    points = points + rng.uniform(-9, 9, (5, 2))
    picture = np.full((SIDE, SIDE, 3), rng.integers(20, 60), np.uint8)
    whole = np.rint(points).astype(int)
    cv2.polylines(picture, [whole], False, (130, 130, 130), 2)
    for point, color in zip(whole, JOINTS.values(), strict=True):
      cv2.circle(picture, point, 5, color, -1)
    cv2.imwrite(str(folder / 'images' / f'{n}.png'), picture)
    v = np.full((5, 1), 2)
    annotations.append(
      {
        'id': n,
        'image_id': n,
        'category_id': 1,
        'keypoints': np.hstack([points, v]).ravel().tolist(),
      }
    )
  contents = {
    'images': [{'id': n, 'file_name': f'{n}.png'} for n in range(count)],
    'annotations': annotations,
    'categories': [
      {
        'id': 1,
        'name': 'crane',
        'keypoints': list(JOINTS),
        'skeleton': [[1, 2], [2, 3], [3, 4], [4, 5]],
      }
    ],
  }
  (folder / 'cranes.json').write_text(json.dumps(contents))


@pytest.mark.usefixtures('shallow')
def test_cranes_are_learned_from_coco_json(tmp_path, capsys):
  draw_cranes(tmp_path, 40)
  prepare.prepare(
    images=tmp_path / 'images',
    annotations=tmp_path / 'cranes.json',
    data_dir=tmp_path / 'data',
    size=128,
    validation_share=0.2,
  )
  assert 'mirror pairs: none' in capsys.readouterr().out
  assert len(records.read(tmp_path / 'data', 'valid')) == 8
  config = Config(
    model=Model(stacks=1, features=16),
    data=Data(dir=str(tmp_path / 'data'), image_size=64),
    augment=Augment(saturation=0, brightness=0, contrast=0),
    optimizer=Optimizer(learning_rate=1e-2, drop_steps=()),
    evaluate=Evaluate(batch_size=8, figures=0),
    batch_size=8,
    steps=50,
    evaluate_every=50,
  )
  workdir = tmp_path / 'run'
  main.train_run(config, workdir)
  assert run_config.load_skeleton(workdir).joints == tuple(JOINTS)
  report.evaluate_run(
    workdir, config, which='latest', split='valid', output=workdir
  )
  output = capsys.readouterr().out
  assert 'PCK@0.1 box' in output and 'Hook' in output
  results = json.loads((workdir / 'results.json').read_text())
  assert results['totals']['all_joints'] > 50
