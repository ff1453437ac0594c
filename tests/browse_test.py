import subprocess
import sys

import cv2
import numpy as np
import pytest

from hg_jax import browse
from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.config import Augment, Config, Data
from hg_jax.base.errors import UserError
from hg_jax.pictures import figures


def test_browse_draws_as_many_people_as_asked_for(prepared, tmp_path):
  config = Config(data=Data(dir=str(prepared), image_size=64))
  heights = []
  for people in (2, 6):
    inputs, distributions = browse.browse(
      config, tmp_path / str(people), step=3, people=people
    )
    heights.append(cv2.imread(str(inputs)).shape[0])
    assert cv2.imread(str(distributions)).std() > 0
  # Two to a row: one row, then three, each a panel high and more.
  assert heights[1] - heights[0] > 2 * 384


@pytest.mark.parametrize(
  'name, side', [('r_wrist', 'right'), ('l_knee', 'left'), ('neck', 'center')]
)
def test_targets_have_the_color_of_their_side(name, side):
  heatmaps = np.zeros((16, 16, 16), np.float32)
  heatmaps[3, 5, SKELETON.joints.index(name)] = 1
  picture = browse._targets(np.zeros((64, 64, 3), np.uint8), heatmaps, SKELETON)
  size = len(picture) // 16
  lit = picture[3 * size : 4 * size, 5 * size : 6 * size]
  assert (lit == figures.SIDES[side]).all()
  assert picture.sum() == lit.sum()


def test_targets_show_the_highest_heatmap():
  heatmaps = np.zeros((16, 16, 16), np.float32)
  for name, value in (('r_wrist', 0.5), ('l_knee', 1)):
    heatmaps[3, 5, SKELETON.joints.index(name)] = value
  picture = browse._targets(np.zeros((64, 64, 3), np.uint8), heatmaps, SKELETON)
  size = len(picture) // 16
  assert tuple(picture[3 * size, 5 * size]) == figures.SIDES['left']


def test_browse_refuses_what_training_refuses(prepared, tmp_path):
  config = Config(
    data=Data(dir=str(prepared)), augment=Augment(rotation=45, scale=1)
  )
  with pytest.raises(UserError, match='--margin'):
    browse.browse(config, tmp_path, step=0, people=1)


@pytest.mark.parametrize('flag', [f'--step={10**20}', '--people=1000000000'])
def test_more_than_a_picture_or_a_run_has_is_refused(flag):
  command = [sys.executable, '-m', 'hg_jax.browse', '--config=quickstart', flag]
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 1 and done.stderr.count('\n') == 1
  assert done.stderr.startswith('error: flag ')
