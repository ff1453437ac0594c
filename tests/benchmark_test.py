import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from hg_jax import benchmark
from hg_jax.base.config import Config, Model
from hg_jax.base.errors import UserError
from hg_jax.input import input_timing, records
from hg_jax.training import torch_peer


def run(*arguments: str) -> subprocess.CompletedProcess:
  command = [sys.executable, '-m', 'hg_jax.benchmark', *arguments]
  return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def config(monkeypatch) -> Config:
  """A small network's config; the compilation cache is not changed."""
  monkeypatch.setattr(jax.config, 'update', lambda *setting: None)
  monkeypatch.setattr(benchmark, '_ROUND', 0.0)
  config = Config(model=Model(stacks=1, features=8), batch_size=4)
  config.data.image_size = 64
  return config


def test_noise_crops_are_of_the_size_of_prepared_ones():
  crops = input_timing.noise_crops(people=8)
  sizes = [len(jpeg) for jpeg in crops.encoded]
  # MPII's have 44 kB on average (PERFORMANCE B4: between 37 and 56).
  assert 37e3 < sum(sizes) / 8 < 56e3
  assert crops.decode(3).shape == (448, 448, 3)


def test_benchmark_of_input_prints_json_and_nothing_else(prepared):
  done = run('--what=input', '--json', '--rounds=1', f'--data_dir={prepared}')
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout)
  assert result['people'] == len(records.read(prepared, 'train'))
  # Decoding is a part of the whole.
  assert 0 < result['stage_ms']['decode'] < result['whole_ms']
  rate = 1e3 / result['whole_ms']
  assert result['images_per_second'] == pytest.approx(rate)


def test_missing_data_is_told_in_one_line(tmp_path):
  done = run('--what=input', f'--data_dir={tmp_path}')
  assert done.returncode == 1
  lines = [
    s for s in done.stderr.splitlines() if 'TF_' not in s and 'abs' not in s
  ]
  assert len(lines) == 1 and 'holds no prepared people' in lines[0]


@pytest.mark.parametrize(
  ('arguments', 'complaint'),
  [
    (['--what=input', '--against=torch'], '--against=torch is for'),
    (['--what=step', '--data_dir=d'], '--data_dir is for'),
    (['--data_dir=d', '--joints=3'], 'give --joints or --data_dir'),
    (['--what=step', '--features=6'], 'config.model.features is 6'),
  ],
)
def test_benchmark_refuses_flags_that_do_not_go_together(arguments, complaint):
  done = run(*arguments)
  assert done.returncode == 1
  assert complaint in done.stderr.splitlines()[-1]


@pytest.mark.usefixtures('shallow')
@pytest.mark.parametrize('what', ['step', 'inference'])
def test_benchmark_of_a_network_adds_up(config, what):
  result = benchmark.measure_network(
    what, config, rounds=2, joints=3, against_torch=False
  )
  rate = config.batch_size / result['seconds']['median']
  assert result['images_per_second'] == pytest.approx(rate)
  assert result['seconds']['lowest'] <= result['seconds']['highest']
  assert result['devices'] == jax.local_device_count()
  assert 0 < result['temporary_gb'] and 0 < result['compile_s']
  assert f'images per second       {rate:.4g}' in benchmark.table(result)


@pytest.mark.usefixtures('shallow')
def test_benchmark_of_an_evaluation_counts_its_people(config):
  result = benchmark.measure_evaluation(config, None, rounds=1, joints=3)
  rate = result['people'] / result['seconds']['median']
  assert result['images_per_second'] == pytest.approx(rate)


def test_benchmark_against_torch_takes_turns_with_it(config):
  pytest.importorskip('torch', reason='--against=torch takes PyTorch')
  result = benchmark.measure_network(
    'inference', config, rounds=2, joints=3, against_torch=True
  )
  layouts = ('torch', 'torch channels_last')
  for name in (*layouts, *(f'{layout} our pages' for layout in layouts)):
    ratio = result[name]['speed_of_ours']
    assert 0 < ratio['lowest'] <= ratio['median'] <= ratio['highest']


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is of Linux')
@pytest.mark.parametrize('tuned', [True, False])
def test_torch_peer_has_our_memory_pages_only_if_told(
  config, monkeypatch, tuned
):
  pytest.importorskip('torch', reason='--against=torch takes PyTorch')
  monkeypatch.setenv('GLIBC_TUNABLES', 'glibc.malloc.hugetlb=1')
  peer = torch_peer.TorchPeer(
    'inference', config, joints=3, channels_last=False, tuned=tuned
  )
  assert peer(1) > 0
  environment = Path(f'/proc/{peer._process.pid}/environ').read_bytes()
  peer.close()
  found = b'GLIBC_TUNABLES=glibc.malloc.hugetlb=1' in environment.split(b'\0')
  assert found == tuned


def test_torch_peer_says_what_is_missing(config, monkeypatch, tmp_path):
  pytest.importorskip('torch', reason='--against=torch takes PyTorch')
  monkeypatch.setattr(torch_peer, '_PORT', tmp_path / 'port.py')
  with pytest.raises(UserError, match='clone the repository'):
    torch_peer.TorchPeer(
      'step', config, joints=3, channels_last=False, tuned=True
    )


def test_copy_bandwidth_is_plausible_for_a_memory():
  bandwidth = benchmark.copy_bandwidth(jax.local_devices()[0], size=2**20)
  assert 1e7 < bandwidth < 1e13  # bytes/s
