"""Draws the report's charts: bars by joint and curves over steps.

Series differ in color, and also in hatch (bars) or in dash and marker (lines).
The colors are Okabe and Ito's, which suit every color vision.
"""

import io
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import StrMethodFormatter

from hg_jax.base import files
from hg_jax.pictures import lettering

# Without yellow, which is hard to see on white. There is one hatch, dash and
# marker more than there are colors, so that a repeated color looks different.
_COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00')
_GRAYS = ('#4d4d4d', '#a6a6a6', '#d9d9d9', '#737373', '#bfbfbf', '#f2f2f2')
_HATCHES = ('', '///', '...', 'xxx', '\\\\\\', '++', 'ooo')
_DASHES = ('-', '--', '-.', ':', (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 2.5)))
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
  'text.parse_math': False,  # names may have dollar signs
  'svg.fonttype': 'none',  # text can be searched
  'svg.hashsalt': 'hg_jax',  # the same figure makes the same file
}


def bars(
  columns: Sequence[str],
  runs: Mapping[str, Sequence[float | None]],  # percent, one per column
  published: Mapping[str, Sequence[float]],  # the same, drawn in gray
  *,
  deviations: Mapping[str, Sequence[float | None]],  # of the same shape
  title: str,
  label: str,
) -> Figure:
  """Draws a group of bars per column, a bar per series: the report's Figure 7.

  A bar with a deviation has a whisker. The axis starts at 0. If all ends lie
  above 50, it starts nearer to them, to show differences of a point, and the
  axis's label says so.
  """
  series = {
    name: np.array(values, np.float64)  # None becomes NaN
    for name, values in (*runs.items(), *published.items())
  }
  colors = [
    *(_COLORS[number % len(_COLORS)] for number in range(len(runs))),
    *(_GRAYS[number % len(_GRAYS)] for number in range(len(published))),
  ]
  nothing = [None] * len(columns)
  whiskers = {
    name: np.array(deviations.get(name, nothing), np.float64) for name in series
  }
  ends = [series[name] - np.nan_to_num(whiskers[name]) for name in series]
  start = _start_of_axis(np.nanmin(ends))
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(12, 6), layout='constrained')
    axes = figure.subplots()
    width, groups = 0.84 / len(series), []
    for number, (name, values) in enumerate(series.items()):
      drawn = axes.bar(
        np.arange(len(columns)) + (number - (len(series) - 1) / 2) * width,
        values - start,
        width,
        bottom=start,
        label=lettering.utf8(name),
        color=colors[number],
        hatch=_HATCHES[number % len(_HATCHES)],
        edgecolor='#222222',
        linewidth=0.6,
        yerr=None if np.isnan(whiskers[name]).all() else whiskers[name],
        error_kw={'elinewidth': 1.0, 'capsize': 2, 'ecolor': '#222222'},
      )
      groups.append(_with_outlined_whiskers(drawn))
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
    _legend(figure, groups, ncols=min(4, len(series)))
  return figure


def curves(
  panels: Mapping[str, Mapping[str, Sequence[tuple[int, float | None]]]],
  *,
  horizontal: str,
  title: str,
) -> Figure:
  """Draws a line per series over training: the report's Figure 8.

  Panels are named by the label of their vertical axis. They have for each
  series (step, value) pairs, or other numbers for the step, which `horizontal`
  names. Vertical axes are fitted to the lines without their first fifth, which
  changes so much that the rest would look flat.
  """
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(12, 5.5), layout='constrained')
    columns = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, lines) in zip(columns, panels.items(), strict=True):
      for number, (name, points) in enumerate(lines.items()):
        _line(
          axes,
          *np.array(points, np.float64).reshape(-1, 2).T,
          number,
          label=lettering.utf8(name),
          marker=_MARKERS[number % len(_MARKERS)],
          markersize=5,
          markevery=max(1, len(points) // 12),
          markeredgecolor='#222222',
          markeredgewidth=0.6,
        )
      axes.set_xlabel(horizontal)
      axes.xaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
      axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
      axes.ticklabel_format(axis='y', style='sci', scilimits=(-2, 4))
      axes.set_ylim(*_range(lines.values()))
      axes.set_ylabel(label)
    figure.suptitle(title, x=0.01, ha='left', fontsize=12)
    _legend(figure, axes.lines, ncols=min(5, len(lines)), handlelength=3.5)
  return figure


def over_thresholds(
  thresholds: Sequence[float],  # T
  panels: Mapping[str, Mapping[str, np.ndarray]],  # f[T] percent, by file
  *,
  unit: str,
  title: str,
) -> Figure:
  """Draws a panel per group of joints: the PCK of each file by threshold."""
  rows = -(-len(panels) // 4)
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(11, 3.1 * rows), layout='constrained')
    grid = figure.subplots(rows, 4, sharex=True, sharey=True, squeeze=False)
    for axes, (name, lines) in zip(grid.flat, panels.items(), strict=False):
      for number, (file, percent) in enumerate(lines.items()):
        _line(axes, thresholds, percent, number, label=lettering.utf8(file))
      axes.set_title(name, fontsize=11)
      axes.set(xlim=(0, thresholds[-1]), ylim=(0, 100))
    for axes in grid.flat[len(panels) :]:
      axes.set_visible(False)
    for axes in grid.flat[max(0, len(panels) - 4) : len(panels)]:
      axes.set_xlabel(f'Threshold, {unit}')
      axes.tick_params(labelbottom=True)
    figure.supylabel('Correct, % of labeled joints', fontsize=11)
    figure.suptitle(lettering.utf8(title))
    _legend(figure, grid.flat[0].lines, ncols=1, handlelength=3.5)
  return figure


def histograms(values: Mapping[str, np.ndarray], *, title: str) -> Figure:
  """Draws a panel for the distribution of each quantity, f[...].

  The names label the axes, so they should have the unit.
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
  """Writes the figure as .png and as .svg."""
  with matplotlib.rc_context(_STYLE):
    write(figure, path.with_suffix('.png'), dpi=150)
    write(figure, path.with_suffix('.svg'), metadata={'Date': None})


def write(figure: Figure, path: pathlib.Path, **options) -> None:
  """Writes one file in the form of its suffix; `options` are of `savefig`.

  Raises:
    OSError: it cannot be written.
  """
  buffer = io.BytesIO()
  figure.savefig(buffer, format=path.suffix[1:], **options)
  files.write(path, buffer.getvalue())


def _start_of_axis(lowest):
  """Returns where the axis starts, percent, for bars with this lowest end."""
  return 10 * int((lowest - 5) // 10) if lowest > 50 else 0


def _with_outlined_whiskers(drawn):
  """Gives whiskers a white edge, to be seen on any hatch."""
  for whisker in drawn.errorbar.get_children() if drawn.errorbar else ():
    whisker.set_path_effects([withStroke(linewidth=3, foreground='white')])
  return drawn


def _line(axes, x, y, number, **options):
  """Draws the line of a series in its color and dash."""
  axes.plot(
    x,
    y,
    color=_COLORS[number % len(_COLORS)],
    linestyle=_DASHES[number % len(_DASHES)],
    linewidth=1.8,
    **options,
  )


def _legend(figure, drawn, **options):
  """Draws a legend below the figure."""
  # Matplotlib leaves out labels that begin with _, so labels are set later.
  legend = figure.legend(
    drawn, ['name'] * len(drawn), loc='outside lower center', **options
  )
  for text, each in zip(legend.get_texts(), drawn, strict=True):
    text.set_text(each.get_label())


def _range(lines):
  """Returns the range of the values after each line's first fifth."""
  late = [
    value
    for points in lines
    for step, value in points
    if step >= points[-1][0] / 5 and value is not None and np.isfinite(value)
  ]
  if not late:
    return None, None
  low, high = min(late), max(late)
  margin = 0.06 * ((high - low) or abs(high) or 1)
  return low - margin, high + margin
