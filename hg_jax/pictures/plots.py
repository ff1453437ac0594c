"""The report's charts: bars per joint group and curves over steps.

Series are told apart by color, and without color: bars by hatch, lines by
dash and marker. The colors are Okabe and Ito's, made for every color vision.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

# Yellow is left out: its lines are not seen on white. There is one hatch and
# one marker more than colors, so that a color's next turn looks different.
_COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00')
_GRAYS = ('#4d4d4d', '#a6a6a6', '#d9d9d9', '#737373', '#bfbfbf', '#f2f2f2')
_HATCHES = ('', '///', '...', 'xxx', '\\\\\\', '++', 'ooo')
_DASHES = ('-', '--', '-.', ':', (0, (5, 1)), (0, (3, 1, 1, 1)))
_MARKERS = 'os^DvPX'
_STYLE = {
  'font.size': 11,
  'axes.titlesize': 12,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.axisbelow': True,
  'axes.grid': True,
  'grid.color': '#dddddd',
  'hatch.linewidth': 0.6,
  'svg.fonttype': 'none',  # text stays text: it can be searched and read
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curves:
  """One panel: a line per run over training steps.

  Attributes:
    label: what the vertical axis measures, and its unit.
    lines: by the run's name, its (step, value) pairs.
  """

  label: str
  lines: Mapping[str, Sequence[tuple[int, float]]]


def bars(
  columns: Sequence[str],
  runs: Mapping[str, Sequence[float | None]],  # percent, one per column
  published: Mapping[str, Sequence[float]],  # the same, drawn in gray
  *,
  title: str,
  label: str,
) -> Figure:
  """A group of bars per column, a bar per series: Figure 7 of the report.

  The axis starts at 0, or nearer the lowest bar if that is above 50, where
  differences of a point would not be seen; its label says so.
  """
  series = {
    name: np.array(values, np.float64)  # None, where nothing is labeled: NaN
    for name, values in (*runs.items(), *published.items())
  }
  lowest = np.nanmin([*series.values()])
  start = 10 * int((lowest - 5) // 10) if lowest > 50 else 0
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(12, 6), layout='constrained')
    axes = figure.subplots()
    width = 0.84 / len(series)
    for number, (name, values) in enumerate(series.items()):
      drawn = axes.bar(
        np.arange(len(columns)) + (number - (len(series) - 1) / 2) * width,
        values - start,
        width,
        bottom=start,
        label=name,
        edgecolor='#222222',
        linewidth=0.6,
        **_bar_style(number, len(runs)),
      )
      if len(series) <= 4:
        texts = [f'{value:.1f}' for value in values]
        turn = 90 if len(series) > 2 else 0
        axes.bar_label(drawn, texts, padding=2, fontsize=8, rotation=turn)
    axes.set_xticks(np.arange(len(columns)), columns)
    axes.tick_params(axis='x', length=0)
    axes.grid(axis='x', visible=False)
    axes.set_ylim(start, 100 if start else None)
    axes.set_ylabel(f'{label}; axis from {start}' if start else label)
    axes.set_title(title, loc='left')
    figure.legend(loc='outside lower center', ncols=min(4, len(series)))
  return figure


def curves(panels: Sequence[Curves], *, title: str) -> Figure:
  """Panels side by side, a line per run in each: Figure 8 of the report.

  The vertical axes hold each run from its first fifth on: before that it
  learns so much that the rest would look like one line.
  """
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(12, 5.5), layout='constrained')
    for axes, panel in zip(
      figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
      for number, (name, points) in enumerate(panel.lines.items()):
        axes.plot(
          *np.array(points, np.float64).T,
          label=name,
          color=_COLORS[number % len(_COLORS)],
          linestyle=_DASHES[number % len(_DASHES)],
          linewidth=1.8,
          marker=_MARKERS[number % len(_MARKERS)],
          markersize=5,
          markevery=max(1, len(points) // 12),
          markeredgecolor='#222222',
          markeredgewidth=0.6,
        )
      axes.set_xlabel('training step')
      axes.xaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
      axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
      axes.ticklabel_format(
        axis='y', style='sci', scilimits=(-2, 4), useMathText=True
      )
      axes.set_ylim(*_range(panel.lines.values()))
      axes.set_ylabel(panel.label)
    figure.suptitle(title, x=0.01, ha='left', fontsize=12)
    lines, names = axes.get_legend_handles_labels()
    figure.legend(
      lines,
      names,
      loc='outside lower center',
      ncols=min(5, len(names)),
      handlelength=3.5,
    )
  return figure


def histograms(values: Mapping[str, np.ndarray], *, title: str) -> Figure:
  """A panel per quantity: how many of its values, f[...], lie where.

  The names of the quantities label the axes, so they give the unit.
  """
  with matplotlib.rc_context(_STYLE):
    columns = min(3, len(values))
    rows = -(-len(values) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * rows), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (name, drawn) in zip(panels, values.items(), strict=False):
      axes.hist(drawn, bins=30, color=_COLORS[0], edgecolor='#222222')
      axes.set_xlabel(name)
      axes.set_ylabel('examples')
    for axes in panels:
      axes.set_visible(False)
    figure.suptitle(title, x=0.01, ha='left', fontsize=12)
  return figure


def save(figure: Figure, path: pathlib.Path) -> None:
  """Writes `path` with the suffixes .png and .svg."""
  with matplotlib.rc_context(_STYLE):
    figure.savefig(path.with_suffix('.png'), dpi=150)
    figure.savefig(path.with_suffix('.svg'))


def _bar_style(number, num_runs):
  """Runs in color, published rows in gray; all hatched by turns."""
  if number < num_runs:
    color = _COLORS[number % len(_COLORS)]
  else:
    color = _GRAYS[(number - num_runs) % len(_GRAYS)]
  return {'color': color, 'hatch': _HATCHES[number % len(_HATCHES)]}


def _range(lines):
  """Of the values after each line's first fifth, with a margin."""
  late = [
    value
    for points in lines
    for step, value in points
    if step >= points[-1][0] / 5 and np.isfinite(value)
  ]
  if not late:
    return None, None
  low, high = min(late), max(late)
  margin = 0.06 * ((high - low) or abs(high) or 1)
  return low - margin, high + margin
