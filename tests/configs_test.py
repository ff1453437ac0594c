"""Settings, and the files under `configs/`."""

import ast
import importlib.util
import json
import math
from pathlib import Path

import pytest

from hg_jax.base import config as config_lib
from hg_jax.base import config_files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.run import run_config

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('*.py'))


def load(path: Path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def differences(name: str, base: str) -> dict:
  one, other = (
    config_lib.flat(load(ROOT / 'configs' / f'{file}.py').get_config())
    for file in (name, base)
  )
  return {key: one[key] for key in one if one[key] != other[key]}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_file_is_valid_and_names_its_source(path):
  module = load(path)
  config = module.get_config()
  config_lib.check(config)
  assert config_lib.from_json(config_lib.to_json(config)) == config
  for word in ('Source:', 'Expected:', 'Time:'):
    assert word in module.__doc__
  command = f'python -m hg_jax.main --config=configs/{path.name}'
  assert command in module.__doc__


def test_experiments_differ_as_in_the_report():
  # The report, section 4: the baseline; then the resolution, the batch, the
  # optimizer, and the last two together. Adam comes with its own rate.
  baseline = load(ROOT / 'configs' / 'rmsprop8.py').get_config()
  assert (baseline.model.stacks, baseline.batch_size) == (8, 8)
  assert baseline.optimizer.name == 'rmsprop'
  assert baseline.optimizer.learning_rate == 2.5e-4
  assert differences('rmsprop16', 'rmsprop8') == {'batch_size': 16}
  assert differences('rmsprop8_res384', 'rmsprop8').keys() == {
    'data.dir',
    'data.image_size',
    'data.sigma',
  }
  adam = {'optimizer.name': 'adam', 'optimizer.learning_rate': 1e-3}
  assert differences('adam8', 'rmsprop8') == adam
  assert differences('adam16', 'rmsprop8') == {**adam, 'batch_size': 16}
  assert differences('adam16_hg2', 'adam16') == {'model.stacks': 2}


def test_two_more_runs_part_what_the_report_changes_together():
  rate = {'optimizer.learning_rate': 2.5e-4}
  assert differences('adam8_slow', 'adam8') == rate
  halves = {'accumulate_steps': 2}
  assert differences('rmsprop16_halves', 'rmsprop16') == halves


def test_settings_are_all_read_somewhere():
  read = set()
  for path in (ROOT / 'hg_jax').rglob('*.py'):
    if path.name != 'config.py':
      tree = ast.parse(path.read_text())
      read |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
  settings = {name.split('.')[-1] for name in config_lib.flat(Config())}
  assert settings <= read


def test_saved_config_without_a_later_setting_takes_its_default():
  saved = json.loads(config_lib.to_json(Config(steps=7)))
  del saved['ema_decay'], saved['data']['resident'], saved['evaluate']
  assert config_lib.from_json(json.dumps(saved)) == Config(steps=7)


def test_saved_config_with_an_unknown_setting_is_refused_by_name():
  saved = json.loads(config_lib.to_json(Config()))
  saved['model']['depth'] = 4
  with pytest.raises(UserError, match=r'no setting config\.model\.depth'):
    config_lib.from_json(json.dumps(saved))


def test_user_config_comes_before_the_shipped_one(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  shipped = config_files.load('configs/adam8.py')
  assert config_files.load('adam8') == config_files.load('adam8.py') == shipped
  own = tmp_path / 'configs' / 'adam8.py'
  own.parent.mkdir()
  own.write_text(
    'from hg_jax.base.config import Config\n'
    'def get_config():\n  return Config(steps=7)\n'
  )
  for name in ('adam8', 'adam8.py', 'configs/adam8.py', str(own)):
    assert config_files.load(name) == Config(steps=7)


def test_name_with_another_suffix_is_not_ours():
  for name in ('adam16.yaml', 'configs/adam16.json', 'rmsprop8.res384'):
    with pytest.raises(UserError, match=f"no config file '{name}'; did you"):
      config_files.load(name)


def test_syntax_error_of_an_imported_file_is_named_with_its_line(
  tmp_path, monkeypatch
):
  monkeypatch.syspath_prepend(tmp_path)
  other = tmp_path / 'broken_settings.py'
  other.write_text('x = 1\ndef f(:\n')
  path = tmp_path / 'own.py'
  path.write_text('\nimport broken_settings\n')
  with pytest.raises(UserError) as refusal:
    config_files.load(str(path))
  assert str(refusal.value) == (
    f'{path}, line 2: invalid syntax ({other}, line 2)'
  )


def test_missing_config_names_the_nearest():
  for name in ('adam61', 'configs/adam61.py'):
    with pytest.raises(UserError, match='did you mean adam16'):
      config_files.load(name)
  for name in ('', '.', '/'):
    with pytest.raises(UserError, match='there is no config file'):
      config_files.load(name)
  # A name in another folder is not one of ours.
  with pytest.raises(UserError, match='elsewhere/adam16.py'):
    config_files.load('elsewhere/adam16.py')


NUMBERS = {'nan': math.nan, 'inf': math.inf, 'huge': 10**400}
IMPOSSIBLE = {
  'seed': [-1, 2**40, 1.0, True, math.nan, '1', None],
  'steps': [0, 2e5, 2**31],
  'batch_size': [0, -8, 10**6],
  'loss': ['l1', None, ''],
  'ema_decay': [1.0, -0.1, *NUMBERS.values()],
  'model': [None, config_lib.Data(), {'stacks': 2}],
  'model.stacks': [0, 2.0, 1000],
  'model.features': [6, 0, 10**6],
  'model.dtype': ['float16'],
  'model.scan': [1, 'no'],
  'data.dir': [None, 3],
  'data.image_size': [100, 0, 64 * 10**6],
  'data.sigma': [0, -1.0, 1e-300, *NUMBERS.values()],
  'data.shares': [(0,), (math.nan,), [1, 2], (1e308, 1e308)],
  'augment.flip': [7, -0.1, True, math.nan],
  'augment.rotation': [-1, 181, math.inf],
  'augment.scale': [1.0, math.nan],
  'optimizer.name': ['adamw'],
  'optimizer.learning_rate': [-1e-3, *NUMBERS.values()],
  'optimizer.warmup_steps': [-1, 100_000],
  'optimizer.drop_steps': [(-5,), (5.0,), [5], 5, (5, 5), (7, 5), (0,)],
  'optimizer.drop_factor': [-0.5, 2, math.nan],
  'evaluate.figures': [-1],
}


def with_setting(name: str, value) -> Config:
  config = Config()
  *group, field = name.split('.')
  setattr(getattr(config, group[0]) if group else config, field, value)
  return config


@pytest.mark.parametrize('name', IMPOSSIBLE)
def test_check_names_an_impossible_setting(name):
  for value in IMPOSSIBLE[name]:
    with pytest.raises(UserError, match=rf'^config\.{name} is ') as refusal:
      config_lib.check(with_setting(name, value))
    assert 'must be' in str(refusal.value)
    assert '\n' not in str(refusal.value)


def test_check_refuses_nan_in_every_float():
  floats = {
    name for name, v in config_lib.flat(Config()).items() if type(v) is float
  }
  assert len(floats) >= 9
  for name in floats:
    with pytest.raises(UserError, match=rf'^config\.{name} is nan'):
      config_lib.check(with_setting(name, math.nan))


def test_check_bounds_every_number():
  for name, value in config_lib.flat(Config()).items():
    if type(value) in (int, float):
      with pytest.raises(UserError, match=rf'^config\.{name} is -1000;'):
        config_lib.check(with_setting(name, -1000))


def test_check_takes_whole_numbers_for_fractions():
  config_lib.check(with_setting('augment.rotation', 15))


FAILING = {
  'def get_config(:\n': 'own.py, line 1: invalid syntax',
  'import os\nimport absent_module\n': "own.py, line 2: .*'absent_module'",
  'def get_config():\n  return [][3]\n': 'own.py, line 2: IndexError',
  'from hg_jax.base.config import Config\n\ndef get_config():\n'
  '  return Config(stepz=3)\n': "own.py, line 4: .*'stepz'",
  'config = 1\n': r'own.py defines no get_config\(\)',
  'def get_config():\n  pass\n': r'own.py: get_config\(\) returns None',
  'from ml_collections import ConfigDict\ndef get_config():\n'
  '  return ConfigDict()\n': 'returns a ConfigDict; it must return a Config',
  'def get_config(name):\n  pass\n': 'own.py: TypeError',
  '\xff\n': 'own.py, line 1: ',
  '# coding: none\n': 'own.py: unknown encoding: none',
  'import sys\nsys.exit()\n': 'own.py, line 2: SystemExit',
}


@pytest.mark.parametrize('text', FAILING)
def test_failing_config_file_is_named_with_its_line(tmp_path, text):
  path = tmp_path / 'own.py'
  path.write_bytes(text.encode('latin-1'))
  with pytest.raises(UserError, match=FAILING[text]) as refusal:
    config_files.load(str(path))
  assert '\n' not in str(refusal.value)


@pytest.mark.parametrize('text', ['', '{', 'null', '[]', '{"model": 3}'])
def test_damaged_saved_config_is_refused(text):
  with pytest.raises(UserError, match=r'^config(\.\w+)* is '):
    config_lib.from_json(text)


def test_saved_config_with_an_impossible_value_is_refused():
  with pytest.raises(UserError, match=r'config\.data\.sigma is nan'):
    config_lib.from_json('{"data": {"sigma": NaN}}')


@pytest.mark.parametrize('fields', ['{"steps": -1}', '{"stepps": 1}'])
def test_setting_of_a_run_is_named_with_its_file(fields, tmp_path):
  path = tmp_path / 'config.json'
  path.write_text(fields)
  with pytest.raises(UserError, match=rf'^{path}: .*config\.stepp?s'):
    run_config.load(tmp_path)
