"""Runs a command by its name: `hg-jax predict photo.jpg`.

Each command is a file of this folder; `python -m hg_jax.predict photo.jpg` is
the same.
"""

import ast
import difflib
import runpy
import sys
from pathlib import Path

from hg_jax.base.errors import as_command


def commands() -> dict[str, str]:
  """Returns the name of every command and the first line of its docstring."""
  lines = {}
  for path in sorted(Path(__file__).parent.glob('[!_]*.py')):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    lines[path.stem] = docstring.splitlines()[0]
  return lines


def main() -> None:
  """Runs the command that the first argument names, or lists them all."""
  lines = commands()
  if len(sys.argv) < 2 or sys.argv[1] in ('help', '-h', '--help'):
    with as_command():
      print('usage: hg-jax COMMAND [ARGUMENTS]\n')
      for name, line in lines.items():
        print(f'  {name:<{max(map(len, lines))}}  {line}')
      print('\nhg-jax COMMAND --help explains one.')
    return
  name = sys.argv[1]
  if name not in lines:
    near = difflib.get_close_matches(name, lines, 1)
    meant = f'did you mean {near[0]}?' if near else 'hg-jax lists them.'
    sys.exit(f'error: there is no command {name}; {meant}')
  sys.argv[:2] = [f'hg-jax {name}']
  runpy.run_module(f'hg_jax.{name}', run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
