import ast
import dataclasses
import importlib.util
from pathlib import Path

import pytest

from hg_jax.base import config as config_lib
from hg_jax.base.config import Config

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
def test_a_config_is_valid_and_says_where_it_comes_from(path):
  module = load(path)
  config = module.get_config()
  config_lib.check(config)
  assert config_lib.from_json(config_lib.to_json(config)) == config
  for word in ('Source:', 'Expected:', 'Time:'):
    assert word in module.__doc__
  command = f'python -m hg_jax.main --config=configs/{path.name}'
  assert command in module.__doc__


def test_the_experiments_change_what_the_report_changes():
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


def test_every_setting_is_read_somewhere():
  read = set()
  for path in (ROOT / 'hg_jax').rglob('*.py'):
    if path.name != 'config.py':
      tree = ast.parse(path.read_text())
      read |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
  settings = {name.split('.')[-1] for name in config_lib.flat(Config())}
  assert settings <= read


def test_impossible_settings_are_refused_by_name():
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
    with pytest.raises(config_lib.UserError, match=f'config.{name} is'):
      config_lib.check(config)
