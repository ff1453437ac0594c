"""Makes the tables of README and docs/results.md, and the report's figures.

  python launch/results.py

Of the files in results/: box/*.json, which `launch/box.sh` writes, and
experiments/*.json, which `launch/experiments.sh` does. Writes results/box.md
and experiments.md, which docs/results.md quotes; figure7 and figure8 of the
experiments, with tables, in results/experiments/; and results/figure9.jpg,
people drawn by the package with what the network in the box finds.
"""

import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from hg_jax import Predictor
from hg_jax.drawn import synthetic

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'results'
LIMBS = ('Shoulder', 'Elbow', 'Wrist', 'Hip', 'Knee', 'Ankle')
TOTALS = ('all_joints', 'standard', 'joint_mean', 'hard_joints')
# In the report's order. The others are compared with the first.
EXPERIMENTS = (
  'rmsprop8',
  'rmsprop8_res384',
  'rmsprop16',
  'rmsprop16_halves',
  'adam8',
  'adam8_slow',
  'adam16',
)


def main() -> None:
  (RESULTS / 'box.md').write_text(table_of_the_box() + '\n')
  draw_figure9()
  runs = [
    str(path)
    for name in EXPERIMENTS
    for path in sorted((RESULTS / 'experiments').glob(f'{name}_seed*.json'))
  ]
  if runs:
    command = [sys.executable, '-m', 'hg_jax.compare', *runs]
    output = f'--output={RESULTS / "experiments"}'
    subprocess.run([*command, output], check=True, cwd=ROOT)
    (RESULTS / 'experiments.md').write_text(table_of_experiments() + '\n')


def table_of_experiments() -> str:
  """Returns the means and differences of `all_joints` from table.md."""
  page = (RESULTS / 'experiments' / 'table.md').read_text()
  means = _first_column(page, '## Over seeds')
  differences = _first_column(page, f'## Minus {EXPERIMENTS[0]}')
  lines = ['| `all_joints`, % | mean over seeds | minus the baseline |']
  lines.append('| --- | --- | --- |')
  for name, mean in means.items():
    lines.append(f'| `{name}` | {mean} | {differences.get(name, "")} |')
  return '\n'.join(lines)


def _first_column(page: str, title: str) -> dict[str, str]:
  """Returns the column all_joints of a table of `compare`, by run."""
  part = page.partition(title)[2].partition('\n## ')[0]
  head, _, *rows = [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in part.splitlines()
    if line.startswith('|')
  ]
  column = head.index('all_joints')
  return {row[0]: row[column] for row in rows}


def draw_figure9() -> None:
  """Draws people with the joints that the network in the box finds.

  The six pictures with the highest scores are shown.
  """
  height, width = 360, 480
  predictor = Predictor()
  tiles = []  # (score, picture)
  with tempfile.TemporaryDirectory() as folder:
    drawn = Path(folder)
    rows = json.loads(synthetic.draw(drawn, 100, seed=1).read_text())
    boxes = collections.defaultdict(list)
    for row in rows:
      side = 160 * row['scale_provided']  # of 200; the network adds a margin
      corner = np.array(row['objpos']) - side / 2
      boxes[row['img_paths']].append((*corner, side, side))
    for name, people in boxes.items():
      found = predictor(drawn / 'images' / name, boxes=people)
      tile = cv2.resize(found.draw(), (width, height))
      tiles.append((found.scores.mean(), tile))
  tiles.sort(key=lambda tile: -tile[0])
  tiles = [tile for _, tile in tiles[:6]]
  rows = [np.hstack(tiles[start : start + 3]) for start in (0, 3)]
  picture = np.vstack(rows)[..., ::-1]
  quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
  cv2.imwrite(str(RESULTS / 'figure9.jpg'), picture, quality)


def table_of_the_box() -> str:
  """Returns the table of the network in the box beside others, on MPII."""
  rows = [
    ('**in the box**, flip test', _read('mpii')[0]),
    ('**in the box**, without', _read('mpii_without_flip')[0]),
    ('MediaPipe Pose "full" 0.10.14', _read('mediapipe')),
    ('published: pytorch-pose, 1 stack', _read('mpii')[1]),
    ('published: pytorch-pose, 2 stacks', _read('mpii')[2]),
    ('published: Tompson et al.', _read('mpii')[3]),
  ]
  head = ['PCKh@0.5, %', *LIMBS, 'these six', *(f'`{t}`' for t in TOTALS)]
  lines = [head, ['---'] * len(head)]
  for name, result in rows:
    groups = [result['groups'][limb] for limb in LIMBS]
    totals = [result.get('totals', {}).get(total) for total in TOTALS]
    numbers = [*groups, sum(groups) / len(groups), *totals]
    lines.append([name, *('' if x is None else f'{x:.1f}' for x in numbers)])
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def first_table() -> str:
  """The totals of the network in the box and of others, for the README."""
  head, line, *rows = [
    [cell.strip() for cell in row.strip('|').split('|')]
    for row in table_of_the_box().splitlines()
  ]
  names = {
    head[0]: head[0],
    'these six': 'six limb joints',
    '`all_joints`': '`all_joints`',
    '`standard`': '`standard`',
  }
  columns = [head.index(name) for name in names]
  lines = [list(names.values())]
  lines += [[row[column] for column in columns] for row in (line, *rows)]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _read(name: str):
  return json.loads((RESULTS / 'box' / f'{name}.json').read_text())


if __name__ == '__main__':
  main()
