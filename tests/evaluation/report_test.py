import shutil

import cv2

from hg_jax.evaluation import report
from hg_jax.run import run_config


def test_evaluate_run_writes_numbers_and_pictures(
  tiny_run, prepared, tmp_path, capsys
):
  workdir = tmp_path / 'run'
  shutil.copytree(tiny_run, workdir)
  config = run_config.load(workdir)
  config.data.dir = str(prepared)
  report.evaluate_run(workdir, config, which='latest', split='valid')
  assert 'all_joints' in capsys.readouterr().out
  assert (workdir / 'results.json').exists()
  assert (workdir / 'predictions.h5').exists()
  for name in ('overlay_worst', 'heatmaps_joints', 'heatmaps_stacks'):
    assert cv2.imread(str(workdir / f'{name}.png')) is not None, name
