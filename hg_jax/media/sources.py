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

Source = Path | str  # a file; or a camera's number or a URL, as text

# Pictures that `predict` wrote are not predicted again.
_OURS = re.compile(r'.*_(overlay|heatmaps(_\d+)?)\.\w+')


def find(
  patterns: Iterable[str],
  *,
  output: Path | None = None,
  recursive: bool = False,
) -> list[Source]:
  """Lists the photos and videos that are named, each once, in order.

  Args:
    patterns: files, folders, patterns such as 'a/**/*.jpg', '@list.txt' or
      '-' for lists of these (one per line, or separated by NUL), URLs, and
      numbers of cameras.
    output: the folder to write to, whose overlays are left out.
    recursive: look into subfolders.

  Raises:
    UserError: a folder has no images or videos, a pattern matches nothing, or
      a list cannot be read.
  """
  sources = {}
  for pattern in _expand_lists(patterns):
    if not pattern:
      raise UserError('a source is empty text; give the name of a file.')
    path = Path(pattern)
    if '://' in pattern or (pattern.isdecimal() and not os.path.exists(path)):
      found = [pattern]
    elif os.path.isdir(path):  # False if the name is too long
      found = _in_folder(path, recursive)
      found = [p for p in found if not _is_ours(p, output)]
      if not found:
        raise UserError(f'{path} has no images or videos.')
    elif not os.path.lexists(path) and glob.has_magic(pattern):
      found = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
      found = [p for p in found if p.is_file() and not _is_ours(p, output)]
      if not found:
        raise UserError(f'no file matches {pattern}.')
    else:
      found = [path]
    sources |= dict.fromkeys(found)
  return list(sources)


def _expand_lists(patterns: Iterable[str]) -> Iterable[str]:
  for pattern in patterns:
    if pattern != '-' and not pattern.startswith('@'):
      yield pattern
      continue
    try:
      if pattern == '-':
        data = sys.stdin.buffer.read()
      else:
        data = Path(pattern[1:]).read_bytes()
    except OSError as error:
      raise UserError(
        f'{pattern[1:]} cannot be read: {error.strerror}.'
      ) from error
    # `find -print0` separates by NUL. Names of files need not be UTF-8.
    lines = data.split(b'\0') if b'\0' in data else data.splitlines()
    lines = [os.fsdecode(line) for line in lines if line.strip()]
    if not lines:
      raise UserError(f'{pattern} lists no files.')
    yield from lines


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
  """Lists images and videos; prints what it passes over."""
  found, others = [], collections.Counter()
  for parent, folders, names in os.walk(folder, onerror=_print_unreadable):
    folders[:] = sorted(f for f in folders if not f.startswith('.'))
    links = sum(os.path.islink(os.path.join(parent, f)) for f in folders)
    if recursive and links:
      others['linked folder'] += links
    for name in sorted(n for n in names if not n.startswith('.')):
      path = Path(parent, name)
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
      f'{folder}: passed over files that are not photos or videos ({kinds})',
      file=sys.stderr,
    )
  return found


def _print_unreadable(error: OSError) -> None:
  print(f'{error.filename} is passed over: {error.strerror}', file=sys.stderr)


def _is_ours(path: Path, output: Path | None) -> bool:
  """Whether a file is a picture that `predict` wrote into its output folder."""
  if output is None or not _OURS.fullmatch(path.name):
    return False
  return path.parent.resolve() == output.resolve()
