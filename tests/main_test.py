"""The command line, run as a user runs it."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.base.config import Config, Data
from hg_jax.run import run_config

ROOT = Path(__file__).parents[1]
CONFIG = '--config=configs/adam16_hg2.py'
# Of one step, if it came to that.
SHORT = [
  *(CONFIG, '--config.data.dir={data}', '--config.steps=1'),
  *('--config.batch_size=4', '--config.data.image_size=64'),
  *('--config.model.stacks=1', '--config.model.features=4'),
]

# What the user does, and what the line says: what is wrong, what to do.
MISTAKES = {
  'nothing': ([], ['--config=configs/NAME.py']),
  'a config that is not there': (
    ['--config=configs/adam61.py'],
    ['configs/adam61.py'],
  ),
  'a misspelt setting': (
    [CONFIG, '--config.optimzer.name=adam'],
    ['optimzer', 'optimizer'],
  ),
  'a misspelt flag': ([CONFIG, '--wokdir=x'], ['wokdir', 'workdir']),
  'a word for a number': ([CONFIG, '--config.steps=many'], ['steps', 'many']),
  'a setting without dashes': (
    [CONFIG, 'config.steps=5'],
    ['config.steps=5', '--config.x=y'],
  ),
  'an impossible value': ([CONFIG, '--config.steps=0'], ['config.steps is 0']),
  'a batch that does not divide': (
    [CONFIG, '--config.batch_size=6', '--workdir={tmp}/new'],
    ['batch_size is 6', '4 devices', 'try 4'],
  ),
  'no prepared data': (
    [CONFIG, '--config.data.dir={tmp}/none', '--workdir={tmp}/new'],
    ['{tmp}/none', 'hg_jax.prepare'],
  ),
  'evaluation without a run': (
    ['--mode=evaluate', '--workdir={tmp}/none'],
    ['{tmp}/none', 'holds no run'],
  ),
  'evaluation before a checkpoint': (
    ['--mode=evaluate', '--workdir={tmp}/empty'],
    ['{tmp}/empty', 'no checkpoint'],
  ),
  "another network's folder": (
    [CONFIG, '--workdir={tmp}/empty'],
    ['{tmp}/empty', 'model.stacks = 8 (now 2)', '--workdir'],
  ),
  "an evaluation with another's network": (
    ['--mode=evaluate', '--workdir={tmp}/empty', '--config.model.stacks=2'],
    ['{tmp}/empty', 'model.stacks = 8', 'evaluate.*', 'data.dir'],
  ),
  'a config.json that is cut': (
    ['--mode=evaluate', '--workdir={tmp}/cut'],
    ['{tmp}/cut/config.json is damaged'],
  ),
  'a misspelt checkpoint of a run to be trained': (
    [*SHORT, '--workdir={tmp}/untrained', '--checkpoint=lates'],
    ['--checkpoint=lates', 'best, latest or a step up to 1'],
  ),
  'a misspelt split of a run to be trained': (
    [*SHORT, '--workdir={tmp}/untrained', '--split=vlid'],
    ["no split 'vlid'", 'train, valid'],
  ),
  'a folder that cannot be made': (
    [CONFIG, '--config.data.dir={data}', '--workdir={tmp}/file/run'],
    ['{tmp}/file/run', 'Not a directory'],
  ),
}


def run(arguments: list[str], **variables) -> subprocess.CompletedProcess:
  flags = '--xla_force_host_platform_device_count=4'
  return subprocess.run(
    [sys.executable, '-m', 'hg_jax.main', *arguments],
    cwd=ROOT,
    env=os.environ | {'XLA_FLAGS': flags} | variables,
    capture_output=True,
    text=True,
  )


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory, prepared):
  """What came of each mistake; two at a time, as starting JAX takes long."""
  tmp = tmp_path_factory.mktemp('main')
  (tmp / 'empty').mkdir()
  (tmp / 'file').write_text('')
  run_config.save(
    tmp / 'empty',
    dataclasses.replace(Config(), data=Data(dir=str(prepared))),
    SKELETON,
  )
  (tmp / 'cut').mkdir()
  whole = (tmp / 'empty' / 'config.json').read_text()
  (tmp / 'cut' / 'config.json').write_text(whole[:100])
  names = {'tmp': tmp, 'data': prepared}
  commands = [
    [argument.format(**names) for argument in arguments]
    for arguments, _ in MISTAKES.values()
  ]
  with ThreadPoolExecutor(2) as pool:
    return names, dict(zip(MISTAKES, pool.map(run, commands), strict=True))


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistake_is_one_line_and_fails(mistake, outcomes):
  names, processes = outcomes
  process = processes[mistake]
  lines = process.stderr.splitlines()
  assert process.returncode == 1
  assert len(lines) == 1, process.stderr
  assert lines[0].startswith('error: ')
  for words in MISTAKES[mistake][1]:
    assert words.format(**names) in lines[0]
  assert not (names['tmp'] / 'untrained').exists()


def test_platform_without_a_device_is_one_line():
  process = run([CONFIG], JAX_PLATFORMS='cuda')
  assert process.returncode == 1
  (line,) = process.stderr.splitlines()
  assert line.startswith("error: JAX cannot use the devices of JAX_PLATFORMS='")


@pytest.mark.parametrize(
  ('name', 'value'),
  [('JAX_ENABLE_X64', 'maybe'), ('JAX_NUM_CPU_DEVICES', 'x')],
)
def test_variable_that_jax_refuses_is_one_line(name, value):
  process = run([CONFIG], **{name: value})
  assert process.returncode == 1
  (line,) = process.stderr.splitlines()
  assert re.match(rf'error: JAX cannot begin: .*{value}.*{name}', line, re.I)


def test_evaluation_takes_the_runs_own_config(tiny_run, prepared, tmp_path):
  # The run keeps an average; the file that it is named after does not.
  workdir = tmp_path / 'run'
  shutil.copytree(tiny_run, workdir)
  config = run_config.load(workdir)
  config = dataclasses.replace(config, ema_decay=0.9)
  run_config.save(workdir, config, SKELETON)
  arguments = ['--mode=evaluate', f'--workdir={workdir}']
  arguments += [f'--config.data.dir={prepared}', '--config.evaluate.figures=0']
  process = run([CONFIG, *arguments])
  # There is no average in this checkpoint, but it was asked for.
  assert 'of another network or optimizer' in process.stderr, process.stderr
  run_config.save(workdir, dataclasses.replace(config, ema_decay=0.0), SKELETON)
  process = run([*arguments, '--config.evaluate.flip_test=False'])
  assert process.returncode == 0, process.stderr
  results = json.loads((workdir / 'results.json').read_text())
  assert results['flip_test'] is False and results['people'] == 6
  assert not (workdir / 'overlay_worst.png').exists()


COMMANDS = ['hg_jax.main --help', 'hg_jax']  # The second lists them all.


def run_in_shell(command: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    ['bash', '-c', f'{sys.executable} -m {command}; exit ${{PIPESTATUS[0]}}'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize('command', COMMANDS)
def test_output_that_nobody_reads_ends_quietly(command):
  process = run_in_shell(f'{command} | true')
  assert process.returncode == 128 + signal.SIGPIPE
  assert process.stderr == ''


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='is of Linux')
@pytest.mark.parametrize('command', COMMANDS)
def test_output_that_cannot_be_written_is_one_line(command):
  process = run_in_shell(f'{command} >/dev/full')
  assert process.returncode == 1
  (line,) = process.stderr.splitlines()
  assert line.startswith('error: the output, or a file: No space left')


def test_output_that_is_closed_is_no_error():
  process = run_in_shell('hg_jax.summary --config=quickstart >&-')
  assert (process.returncode, process.stderr) == (0, '')


# Libraries write to the numbers 1 and 2, whatever file has them.
NOISY = """
import os
with open({victim!r}, 'w'):
  for number in (1, 2):
    os.write(number, b'what a library says')
os._exit(0)
"""


def test_no_file_takes_the_place_of_closed_streams(tmp_path):
  victim, config = tmp_path / 'victim', tmp_path / 'noisy.py'
  config.write_text(NOISY.format(victim=str(victim)))
  process = run_in_shell(f'hg_jax.summary --config={config} <&- 2>&-')
  assert process.returncode == 0
  assert victim.read_text() == ''


def test_a_list_from_a_closed_input_is_an_empty_one(tmp_path):
  process = run_in_shell(f'hg_jax.predict - --output={tmp_path}/out <&-')
  assert process.returncode == 1
  (line,) = process.stderr.splitlines()
  assert line.startswith('error: ')


# As some imports and callbacks from C++ do.
SWALLOWING = """
import time
try:
  print('here', flush=True)
  time.sleep(60)
except BaseException:
  print('swallowed', flush=True)
"""


def test_interrupt_before_training_ends_at_once(tmp_path):
  (tmp_path / 'slow.py').write_text(SWALLOWING)
  process = subprocess.Popen(
    [sys.executable, '-m', 'hg_jax.main', f'--config={tmp_path}/slow.py'],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    # Shells let what runs behind them ignore it.
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
  )
  assert process.stdout.readline() == 'here\n'
  process.send_signal(signal.SIGINT)
  assert process.communicate(timeout=60) == ('', '')
  assert process.returncode == -signal.SIGINT
