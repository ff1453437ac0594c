"""The photos and videos that a command line names."""

import collections
import glob
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from hg_jax.base.errors import UserError
from hg_jax.media import images, videos

Source = Path | str  # a file; a str is a camera's number or a URL

# What `predict` writes beside photos is not predicted again.
_OURS = re.compile(r'.*_(overlay|heatmaps(_\d+)?)\.\w+')


def find(
  patterns: Iterable[str],
  *,
  output: Path | None = None,
  recursive: bool = False,
) -> list[Source]:
  """Lists the sources that are named, each once, in order.

  Args:
    patterns: files, folders, patterns such as 'a/**/*.jpg', '@list.txt' or
      '-' for lists of these (a line each, or NUL after each), URLs, and
      numbers of cameras.
    output: the folder to write to, whose pictures are left out.
    recursive: look into subfolders.

  Raises:
    UserError: a folder holds no images or videos, a pattern fits nothing, or
      a list cannot be read.
  """
  sources = {}
  for pattern in _expand_lists(patterns):
    if not pattern:
      raise UserError('a source is the empty text; give the name of a file.')
    path = Path(pattern)
    if '://' in pattern or (pattern.isdecimal() and not os.path.exists(path)):
      found = [pattern]
    elif os.path.isdir(path):  # False of a name that is too long
      found = _in_folder(path, recursive)
      found = [p for p in found if not _is_ours(p, output)]
      if not found:
        raise UserError(f'{path} holds no images or videos.')
    elif not os.path.lexists(path) and glob.has_magic(pattern):
      found = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
      found = [p for p in found if p.is_file() and not _is_ours(p, output)]
      if not found:
        raise UserError(f'nothing is called {pattern}.')
    else:
      found = [path]
    sources |= dict.fromkeys(found)
  return list(sources)


def _expand_lists(patterns: Iterable[str]) -> Iterable[str]:
  for pattern in patterns:
    if pattern == '-':
      data = sys.stdin.buffer.read()
    elif pattern.startswith('@'):
      try:
        data = Path(pattern[1:]).read_bytes()
      except OSError as error:
        raise UserError(
          f'{pattern[1:]} cannot be read: {error.strerror}.'
        ) from error
    else:
      yield pattern
      continue
    # As `find -print0` has it. Names of files need not be UTF-8.
    lines = data.split(b'\0') if b'\0' in data else data.splitlines()
    lines = [os.fsdecode(line) for line in lines if line.strip()]
    if not lines:
      raise UserError(f'{pattern} lists no files.')
    yield from lines


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
  """Images and videos; says what else is passed over."""
  found, others = [], collections.Counter()
  for parent, folders, names in os.walk(folder, onerror=_say_unreadable):
    folders[:] = sorted(f for f in folders if not f.startswith('.'))
    links = sum(os.path.islink(os.path.join(parent, f)) for f in folders)
    if recursive and links:
      others['linked folder'] += links
    for name in sorted(names):
      path = Path(parent, name)
      if name.startswith('.'):
        continue
      if path.suffix.lower() in images.SUFFIXES or videos.is_video(path):
        found.append(path)
      else:
        others[path.suffix.lower() or name] += 1
    if not recursive:
      break
  if others and found:
    named = others.most_common(5)
    kinds = ', '.join(f'{n} {kind}' for kind, n in named)
    if unnamed := others.total() - sum(n for _, n in named):
      kinds += f', {unnamed} others'
    print(
      f'{folder}: passed over what is no photo or video ({kinds})',
      file=sys.stderr,
    )
  return found


def _say_unreadable(error: OSError) -> None:
  print(f'{error.filename} is passed over: {error.strerror}', file=sys.stderr)


def _is_ours(path: Path, output: Path | None) -> bool:
  """Whether it is a picture that `predict` wrote into its output folder."""
  if output is None or not _OURS.fullmatch(path.name):
    return False
  return path.parent.resolve() == output.resolve()
