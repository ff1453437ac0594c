"""Settings, and the files under `configs/`."""

import ast
import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest

from hg_jax.base import config as config_lib
from hg_jax.base import config_files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError

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


def test_missing_config_names_the_nearest():
  for name in ('adam61', 'configs/adam61.py'):
    with pytest.raises(UserError, match='did you mean adam16'):
      config_files.load(name)
  # A name in another folder is not one of ours.
  with pytest.raises(UserError, match='elsewhere/adam16.py'):
    config_files.load('elsewhere/adam16.py')


def test_check_names_an_impossible_setting():
  cases = {
    'steps': dataclasses.replace(Config(), steps=0),
    'loss': dataclasses.replace(Config(), loss='l1'),
    'data.image_size': dataclasses.replace(
      Config(), data=config_lib.Data(image_size=100)
    ),
    'model.features': dataclasses.replace(
      Config(), model=config_lib.Model(features=7)
    ),
    'optimizer.name': dataclasses.replace(
      Config(), optimizer=config_lib.Optimizer(name='adamw')
    ),
  }
  for name, config in cases.items():
    with pytest.raises(UserError, match=f'config.{name} is'):
      config_lib.check(config)
