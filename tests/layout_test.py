"""The README's layout is the layout."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
  path.stem for path in (ROOT / 'hg_jax').glob('*.py') if path.stem[0] != '_'
)


def layout() -> list[str]:
  """The modules of the README's layout, top to bottom."""
  readme = (ROOT / 'README.md').read_text()
  block = readme.split('\nhg_jax/\n')[1].split('```')[0]
  return re.findall(r'(\w+)\.py\b', block)


def imports(module: str) -> set[str]:
  """What a module imports when it is imported."""
  tree = ast.parse((ROOT / 'hg_jax' / f'{module}.py').read_text())
  names = set()
  for node in tree.body:
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return names


def ours(module: str) -> set[str]:
  """The modules of hg_jax among them."""
  return {name.split('.')[1] for name in imports(module) if 'hg_jax.' in name}


def test_the_readme_lists_every_module_once():
  assert sorted(layout()) == MODULES


@pytest.mark.parametrize('module', MODULES)
def test_imports_go_down_the_layout(module):
  order = layout()
  above = set(order[: order.index(module) + 1])
  assert not ours(module) & above


def test_every_module_has_its_test():
  tests = {path.stem for path in (ROOT / 'tests').glob('*_test.py')}
  tested = {f'{module}_test' for module in MODULES}
  # Data without behavior, and modules proved through their only caller.
  through_callers = {
    'album_test': 'predict_test',
    'command_test': 'main_test',
    'config_test': 'configs_test',
    'dataset_test': 'mpii_test',
    'examples_test': 'input_pipeline_test',
    'painter_test': 'synthetic_test',
    'plots_test': 'compare_test',
    'records_test': 'person_crops_test',
    'runs_test': 'compare_test',
    'train_state_test': 'train_test',
    'videos_test': 'predict_test',
    'writer_test': 'train_test',
  }
  assert set(through_callers.values()) <= tests
  assert tested - through_callers.keys() <= tests


def test_only_data_needs_tensorflow():
  needs = {
    module
    for module in MODULES
    if any(name.startswith('tensorflow') for name in imports(module))
  }
  assert needs == {'input_pipeline', 'person_crops'}


def test_no_command_defines_flags_when_it_is_imported():
  for module in MODULES:
    tree = ast.parse((ROOT / 'hg_jax' / f'{module}.py').read_text())
    for node in tree.body:
      if isinstance(node, (ast.Assign, ast.Expr)):
        assert 'DEFINE_' not in ast.unparse(node), module


def test_functions_are_short_enough_to_be_read():
  for path in [
    *(ROOT / 'hg_jax').glob('*.py'),
    *(ROOT / 'configs').glob('*.py'),
  ]:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.FunctionDef):
        lines = node.end_lineno - node.lineno + 1
        assert lines <= 60, f'{path.name}: {node.name} has {lines} lines'
