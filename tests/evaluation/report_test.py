import json
import shutil

import cv2
import numpy as np
import pytest

from hg_jax.base.config import Config, Data
from hg_jax.base.errors import UserError
from hg_jax.evaluation import report
from hg_jax.input import records
from hg_jax.run import run_config

EVALUATION = {'which': 'best', 'split': 'valid'}


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


@pytest.mark.parametrize('which', ['best', 'latest', '7', '10', '90'])
def test_checkpoints_that_training_may_write_are_accepted(
  which, prepared, tmp_path
):
  config = Config(data=Data(dir=str(prepared)), steps=10)
  (tmp_path / 'checkpoints' / '90').mkdir(parents=True)  # a run of more steps
  settings = EVALUATION | {'which': which, 'output': tmp_path / 'new' / 'out'}
  report.check(tmp_path, config, **settings)
  assert list((tmp_path / 'new' / 'out').iterdir()) == []


@pytest.mark.parametrize(
  'change, complaint',
  [
    ({'which': 'lates'}, '--checkpoint=lates .* best, latest or a step up to'),
    ({'which': '11'}, '--checkpoint=11 .* a step up to 10'),
    ({'split': 'test'}, "no split 'test'; it has train, valid"),
    ({'output': 'file'}, 'file is a file; give a folder as --output'),
    ({'output': 'file/out'}, 'file/out: Not a directory; mend that'),
  ],
)
def test_report_that_cannot_be_made_is_refused_before_training(
  change, complaint, prepared, tmp_path
):
  (tmp_path / 'file').write_text('')
  config = Config(data=Data(dir=str(prepared)), steps=10)
  settings = EVALUATION | {'output': 'out'} | change
  settings['output'] = tmp_path / settings['output']
  with pytest.raises(UserError, match=complaint):
    report.check(tmp_path / 'run', config, **settings)
  assert [each.name for each in tmp_path.iterdir()] == ['file']


def test_submission_that_cannot_be_made_is_refused_before_training(
  prepared, tmp_path
):
  # Like MPII's test people, whose joints are not published.
  shutil.copytree(prepared / records.FOLDER, tmp_path / records.FOLDER)
  path = tmp_path / records.FOLDER / records.INDEX
  with np.load(path) as index:
    columns = dict(index)
  columns['labeled'][:] = False
  np.savez(path, **columns)
  config = Config(data=Data(dir=str(tmp_path)))
  settings = EVALUATION | {'output': tmp_path / 'out'}
  with pytest.raises(UserError, match='json does not say who is scored'):
    report.check(tmp_path / 'run', config, **settings)
  metadata = path.with_name('metadata.json')
  source = json.loads(metadata.read_text())
  source['annotations'] = str(tmp_path / 'gone.mat')
  metadata.write_text(json.dumps(source))
  with pytest.raises(UserError, match='gone.mat, from which .* put it back'):
    report.check(tmp_path / 'run', config, **settings)


def test_output_that_is_a_file_is_refused_before_the_evaluation(
  tiny_run, prepared, tmp_path, monkeypatch
):
  (tmp_path / 'file').write_text('')
  config = run_config.load(tiny_run)
  config.data.dir = str(prepared)
  monkeypatch.setattr(report, '_evaluated', None)  # is not called
  with pytest.raises(UserError, match='file is a file; give a folder'):
    report.evaluate_run(
      tiny_run, config, **EVALUATION, output=tmp_path / 'file'
    )
