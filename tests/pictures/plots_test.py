"""Charts name what they draw."""

import numpy as np
import pytest

from hg_jax.pictures import plots

NAMES = ['_mine', 'mine', '$_$']
CHARTS = {
  'bars': lambda: plots.bars(
    ['Knee'],
    {name: [50.0] for name in NAMES},
    {},
    deviations={'mine': [1.0]},
    title='',
    label='',
  ),
  'curves': lambda: plots.curves(
    {'Loss': {name: [(1, 2.0), (2, 1.0)] for name in NAMES}},
    horizontal='',
    title='',
  ),
  'over thresholds': lambda: plots.over_thresholds(
    [0.0, 0.5],
    {'Knee': {name: np.array([0.0, 9.0]) for name in NAMES}},
    unit='',
    title='',
  ),
}


@pytest.mark.parametrize('chart', CHARTS)
def test_legend_has_every_name(chart):
  (legend,) = CHARTS[chart]().legends
  assert [text.get_text() for text in legend.get_texts()] == NAMES
