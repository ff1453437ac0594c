"""Formats scores as text for a terminal."""

from hg_jax.metrics.pck import SIGMA, Metric


def table(metric: Metric, summary: dict) -> str:
  """Formats a summary for a terminal of 80 columns.

  Args:
    metric: the metric of the summary.
    summary: the scores of `Metric.summarize`, and any of `standard_error`,
      `unscored`, `pcp`, `oks` and `oks_missing`.
  """
  lines = []
  for kind in ('groups', 'totals'):
    rows = {metric.name(): summary[kind]}
    if kind == 'totals' and 'standard_error' in summary:
      rows['  std. error'] = summary['standard_error']
    occluded = summary[f'{kind}_occluded']
    # Annotations without an occluded joint do not tell visibility.
    if any(value is not None for value in occluded.values()):
      rows |= {'  visible': summary[f'{kind}_visible'], '  occluded': occluded}
    rows[metric.name(metric.fine)] = summary[f'{kind}_at_{metric.fine:g}']
    lines += [*grid(rows), '']
  auc = '-' if summary['auc'] is None else f'{summary["auc"]:.2f}'
  lines[-1] = (
    f'Area under the curve of {metric.curve}, 0 to {metric.threshold:g}: {auc}'
  )
  if summary.get('unscored'):
    lines.append(
      f'Not counted: {summary["unscored"]:,} people without a labeled joint or '
      f'a size to measure errors in ({metric.unit}).'
    )
  if summary.get('pcp') is not None:
    lines.append(
      f'Limbs with both ends correct (PCP@0.5): {summary["pcp"]:.2f}'
    )
  if 'oks' in summary:
    lines += ['', *oks_rows(metric, summary)]
  if 'oks_missing' in summary:
    lines += ['', f'OKS AP is left out: {summary["oks_missing"]}']
  return '\n'.join(lines)


def oks_rows(metric: Metric, summary: dict) -> list[str]:
  """Formats the numbers of `oks`; says so if the sigmas are not measured."""
  columns = {'': '.50:.95', '50': '.50', '75': '.75'}
  columns |= {'_medium': 'medium', '_large': 'large'}
  rows = {
    f'OKS {name}': {
      column: summary['oks'][name + key] for key, column in columns.items()
    }
    for name in ('AP', 'AR')
  }
  if set(metric.sigmas) != {SIGMA}:
    return grid(rows, '.3f')
  return [*grid(rows, '.3f'), f'with a sigma of {SIGMA} for every joint']


def grid(
  rows: dict[str, dict[str, float | None]],  # by label, then by column
  form: str = '.2f',
) -> list[str]:
  """Aligns numbers under the columns' names, a line per row; '-' for None.

  Columns that do not fit into 80 characters follow in further blocks.
  """
  label_width = max(14, *map(len, rows))
  blocks, left = [], 0
  for name in next(iter(rows.values())):
    width = max(len(name) + 2, 9)
    if width > left:
      blocks.append({})
      left = 80 - label_width
    blocks[-1][name] = width
    left -= width

  def cell(value: float | None, width: int) -> str:
    return f'{"-" if value is None else format(value, form):>{width}}'

  lines = []
  for columns in blocks:
    header = ''.join(f'{name:>{width}}' for name, width in columns.items())
    lines.append(' ' * label_width + header)
    for label, row in rows.items():
      cells = ''.join(cell(row[name], width) for name, width in columns.items())
      lines.append(f'{label:{label_width}}{cells}')
  return lines
