"""Rooms import only from the rooms below; the pages name what exists."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / 'README.md'
PAGES = [README, *sorted((ROOT / 'docs').glob('*.md'))]
LAYOUT = (ROOT / 'docs' / 'layout.md').read_text().split('\n## Rooms')[1]


def rooms() -> list[str]:
  """The packages of the layout's table, top to bottom; commands first."""
  return [folder for folder, _ in rows()]


def rows() -> list[tuple[str, str]]:
  """The layout's table of rooms: each package, and what is in its files."""
  table = LAYOUT.split('\n\n')[1]
  return re.findall(r'^\| `hg_jax/(\w*)/?` \| (.*) \|$', table, re.M)


def modules(root: Path) -> dict[str, Path]:
  """Every module of the package under `root`, by its dotted name."""
  paths = {}
  for path in sorted((root / 'hg_jax').rglob('*.py')):
    parts = path.relative_to(root).with_suffix('').parts
    name = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
    paths[name] = path
  return paths


def imports(name: str, paths: dict[str, Path]) -> set[str]:
  """Our modules that the whole file imports, also within its functions."""
  found = set()
  for node in ast.walk(ast.parse(paths[name].read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f'{name}: a relative import'
      whole = {f'{node.module}.{alias.name}' for alias in node.names}
      found |= (whole & paths.keys()) or {node.module}
  return {other for other in found if other.split('.')[0] == 'hg_jax'}


def room(name: str) -> str:
  """The package that a module lives in; '' for the commands."""
  parts = name.split('.')
  is_package = (ROOT / Path(*parts)).is_dir()
  return '.'.join(parts[1:] if is_package else parts[1:-1])


def upward(paths: dict[str, Path]) -> list[str]:
  """The imports that do not go down the layout."""
  order = rooms()
  return [
    f'{name} -> {other}'
    for name in paths
    for other in imports(name, paths)
    if order.index(room(other)) < order.index(room(name))
  ]


def circle(paths: dict[str, Path]) -> list[str]:
  """Modules that import one another in a circle; none if there is none."""
  graph = {name: imports(name, paths) for name in paths}
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    return error.args[1]
  return []


def planted(tmp_path: Path, name: str, line: str) -> dict[str, Path]:
  """The modules, one of them with another line at its end."""
  paths = modules(ROOT)
  copy = tmp_path / 'planted.py'
  copy.write_text(paths[name].read_text() + line)
  return paths | {name: copy}


def test_layout_lists_every_room():
  assert sorted(rooms()) == sorted({room(name) for name in modules(ROOT)})


def test_layout_names_files_that_exist():
  for folder, contents in rows():
    names = re.findall(r'`(\w+)`', contents)
    assert names, folder
    for name in names:
      path = ROOT / 'hg_jax' / folder / f'{name}.py'
      assert path.is_file(), path


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_pages_name_files_that_exist(page):
  named = re.findall(
    r'\b(?:hg_jax|configs|launch|tests)/[a-z0-9_/]+\.(?:py|sh)\b',
    page.read_text(),
  )
  for name in named:
    assert (ROOT / name).is_file(), name


def anchors(page: Path) -> set[str]:
  """The names by which GitHub links to a page's headings."""
  headings = re.findall(r'^#+ (.*)$', without_code(page), re.M)
  plain = (re.sub(r'[^\w\- ]', '', heading.lower()) for heading in headings)
  return {heading.replace(' ', '-') for heading in plain}


def without_code(page: Path) -> str:
  return re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files_and_headings(page):
  links = re.findall(r'\]\(([^)\s]+)\)', without_code(page))
  for link in (link for link in links if '://' not in link):
    path, _, anchor = link.partition('#')
    target = page.parent / path if path else page
    assert target.exists(), link
    assert not anchor or anchor in anchors(target), link


def test_readme_links_to_every_page():
  text = README.read_text()
  for page in PAGES[1:]:
    assert f'](docs/{page.name})' in text, page.name


def test_readme_is_short():
  assert len(README.read_text().splitlines()) <= 170


def test_imports_go_down_the_layout():
  assert upward(modules(ROOT)) == []


def test_imports_make_no_circle():
  assert circle(modules(ROOT)) == []


def test_an_upward_import_within_a_function_is_found(tmp_path):
  line = '\n\ndef f():\n  from hg_jax.input import records\n'
  paths = planted(tmp_path, 'hg_jax.base.affine', line)
  assert upward(paths) == ['hg_jax.base.affine -> hg_jax.input.records']


def test_a_circle_within_a_room_is_found(tmp_path):
  line = '\n\ndef f():\n  from hg_jax.base.command import run\n'
  paths = planted(tmp_path, 'hg_jax.base.config', line)
  assert set(circle(paths)) == {'hg_jax.base.config', 'hg_jax.base.command'}


def test_tests_mirror_the_rooms():
  for path in (ROOT / 'tests').rglob('*_test.py'):
    inside = path.relative_to(ROOT / 'tests').parent
    assert (ROOT / 'hg_jax' / inside).is_dir(), path


def test_only_records_and_training_input_need_tensorflow():
  needs = set()
  for name, path in modules(ROOT).items():
    for node in ast.parse(path.read_text()).body:
      if isinstance(node, ast.Import) and any(
        alias.name.startswith('tensorflow') for alias in node.names
      ):
        needs.add(name)
  assert needs == {'hg_jax.input.input_pipeline', 'hg_jax.input.person_crops'}


def test_mpii_is_imported_by_few_files_below_the_commands():
  paths = modules(ROOT)
  naming = {
    name
    for name in paths
    if room(name)
    and not name.startswith('hg_jax.annotations.mpii')
    and any(
      o.startswith('hg_jax.annotations.mpii') for o in imports(name, paths)
    )
  }
  # Where forms of annotations are told apart, where files from before
  # skeletons were saved are read, and what MPII scores itself.
  assert naming == {
    'hg_jax.annotations.forms',
    'hg_jax.annotations.saved_skeleton',
    'hg_jax.annotations.squares',
    'hg_jax.evaluation.submission',
  }


def test_no_command_defines_flags_when_it_is_imported():
  for name, path in modules(ROOT).items():
    for node in ast.parse(path.read_text()).body:
      if isinstance(node, (ast.Assign, ast.Expr)):
        assert 'DEFINE_' not in ast.unparse(node), name


@pytest.mark.parametrize('folder', ['hg_jax', 'configs'])
def test_functions_are_short_enough_to_be_read(folder):
  for path in (ROOT / folder).rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.FunctionDef):
        lines = node.end_lineno - node.lineno + 1
        assert lines <= 60, f'{path.name}: {node.name} has {lines} lines'
