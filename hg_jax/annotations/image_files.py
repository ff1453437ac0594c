"""Finds the files of annotated images below a folder."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NoReturn

from hg_jax.base.errors import UserError, cannot_be_read


def find(names: Iterable[str], folder: Path) -> dict[str, Path]:
  """Finds the file of each name; those that are missing have none.

  A name is a path below `folder`. The folder may also lie above the one that
  the names begin at (`folder`/images/a.jpg for a.jpg) or below it
  (`folder`/a.jpg for images/a.jpg), but parts of a path never differ. Names
  are the same in every Unicode form.

  Raises:
    UserError: two files, or two names for one file, fit equally well, or a
      name is not Unicode, which prepared people cannot hold.
  """
  files, ends = _index(folder)
  found, names_of = {}, defaultdict(set)
  for name in dict.fromkeys(names):
    if not name.isascii() and any('\ud800' <= c <= '\udfff' for c in name):
      raise UserError(
        f'the annotated image {ascii(name)} has a name that is not Unicode; '
        'rename it, in the annotations too.'
      )
    parts = _parts(name)
    exact = files.get('/'.join(parts))
    deeper = ends.get('/'.join(parts), [])
    shallower = [
      files['/'.join(parts[i:])]
      for i in range(1, len(parts))
      if '/'.join(parts[i:]) in files
    ]
    fitting = [exact] if exact else deeper or shallower[:1]
    if len(fitting) > 1:
      raise UserError(
        f'{name} can be {fitting[0]} or {fitting[1]}; give the folder that '
        'the names of the annotations begin at as --images.'
      )
    if fitting:
      found[name] = fitting[0]
      names_of[fitting[0]].add('/'.join(parts))
  for path, same in names_of.items():
    if len(same) > 1:
      a, b = sorted(same)[:2]
      raise UserError(
        f'{a} and {b} both can only be {path}; give the folder that the names '
        'of the annotations begin at as --images.'
      )
  return found


def _refuse(error: OSError) -> NoReturn:
  raise cannot_be_read(error.filename, error) from error


def _index(folder: Path) -> tuple[dict[str, Path], dict[str, list[Path]]]:
  """Lists the files below a folder by their paths, and by ends of these."""
  files, ends = {}, defaultdict(list)
  # The real folders above each folder: a link back to one would never end.
  above = {os.fspath(folder): {os.path.realpath(folder)}}
  for directory, folders, names in os.walk(
    folder, onerror=_refuse, followlinks=True
  ):
    before = above.pop(directory)
    real = {f: os.path.realpath(os.path.join(directory, f)) for f in folders}
    folders[:] = sorted(f for f in folders if real[f] not in before)
    for inner in folders:
      above[os.path.join(directory, inner)] = before | {real[inner]}
    inside = Path(directory).relative_to(folder)
    for name in sorted(names):
      path = Path(directory, name)
      parts = _parts(str(inside / name))
      files['/'.join(parts)] = path
      for i in range(1, len(parts)):
        ends['/'.join(parts[i:])].append(path)
  return files, ends


def _parts(name: str) -> list[str]:
  """Splits a path, in one Unicode form."""
  path = PurePosixPath(unicodedata.normalize('NFC', name.replace('\\', '/')))
  return [part for part in path.parts if part not in ('/', '.', '..')]
