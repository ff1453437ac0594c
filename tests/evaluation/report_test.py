import cv2

from hg_jax.evaluation import report
from hg_jax.run import run_config


def test_evaluate_run_writes_numbers_and_pictures(
  tiny_run, prepared, tmp_path, capsys
):
  config = run_config.load(tiny_run)
  config.data.dir = str(prepared)
  before = sorted(tiny_run.iterdir())
  output = tmp_path / 'new' / 'output'
  report.evaluate_run(
    tiny_run, config, which='latest', split='valid', output=output
  )
  assert 'all_joints' in capsys.readouterr().out
  assert (output / 'results.json').exists()
  assert (output / 'predictions.h5').exists()
  for name in ('overlay_worst', 'heatmaps_joints', 'heatmaps_stacks'):
    assert cv2.imread(str(output / f'{name}.png')) is not None, name
  assert sorted(tiny_run.iterdir()) == before
