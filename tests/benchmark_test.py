import json
import subprocess
import sys

import pytest

from hg_jax import benchmark
from hg_jax.data import records


def run(*arguments: str) -> subprocess.CompletedProcess:
  command = [sys.executable, '-m', 'hg_jax.benchmark', *arguments]
  return subprocess.run(command, capture_output=True, text=True)


def test_noise_crops_are_of_the_size_of_prepared_ones():
  crops = benchmark.noise_crops(people=8)
  sizes = [len(jpeg) for jpeg in crops.encoded]
  # MPII's are 44 kB in the mean (PERFORMANCE B4 puts them between 37 and 56).
  assert 37e3 < sum(sizes) / 8 < 56e3
  assert crops.decode(3).shape == (448, 448, 3)


def test_the_input_benchmark_prints_json_and_nothing_else(prepared):
  done = run('--what=input', '--json', '--rounds=1', f'--data_dir={prepared}')
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout)
  assert result['people'] == len(records.read(prepared, 'train'))
  # Stages are parts of the whole, and decoding is one of them.
  assert 0 < result['stage_ms']['decode'] < result['whole_ms']
  rate = 1e3 / result['whole_ms']
  assert result['images_per_second_per_core'] == pytest.approx(rate)


def test_data_that_is_not_there_is_one_line(tmp_path):
  done = run('--what=input', f'--data_dir={tmp_path}')
  assert done.returncode == 1
  lines = [
    s for s in done.stderr.splitlines() if 'TF_' not in s and 'abs' not in s
  ]
  assert len(lines) == 1 and 'holds no prepared people' in lines[0]
