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


def test_curves_show_their_numbers_as_numbers():
  lines = {'mine': [(100, 0.003), (200, 0.0021)]}
  figure = plots.curves({'loss': lines}, horizontal='step', title='t')
  figure.draw_without_rendering()
  axis = figure.axes[0].yaxis
  shown = [text.get_text() for text in axis.get_ticklabels()]
  assert [float(text) for text in shown] == sorted(map(float, shown))
  assert axis.get_offset_text().get_text() == '1e−3'
