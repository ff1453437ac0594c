"""predictions.jsonl: what was found, a line for each image or frame.

  {"image": "photo.jpg", "width": 640, "height": 480, "people": [
    {"id": 1, "color": "#ff8c00", "box": [x, y, width, height],
     "score": 0.8, "joints": {"r_ankle": {"x": 1.5, "y": 2, "score": 0.9},
     ...}}]}

A video's lines have "frame", from 0, and "time", s. Lines are written as they
are found, in order, so the same command goes on where it was stopped.
settings.json has what they were found with, the skeleton, and the videos that
are done.

Other forms are made of the lines: one JSON list, COCO's keypoint results, or
CSV with a row for each person.
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from hg_jax.annotations.boxes import PERSON
from hg_jax.base import files
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.media.sources import Source

FORMS = {
  'jsonl': 'predictions.jsonl',
  'json': 'predictions.json',
  'coco': 'predictions_coco.json',
  'csv': 'predictions.csv',
}
_BEGINNING = b'{"image": '  # of every line
# What JSON of another form raises where ours is read.
_DAMAGED = (AttributeError, LookupError, TypeError, ValueError, OverflowError)


class PredictionLines:
  """The lines of a folder, and those that an earlier call left.

  Attributes:
    path: the file of lines.
    overlays: names of the pictures of the lines that were there.
  """

  def __init__(
    self,
    folder: Path,
    settings: dict[str, Any],
    skeleton: Skeleton,
    *,
    overwrite: bool = False,
  ):
    """Opens the folder's file, at its end.

    Args:
      folder: where to write.
      settings: what the lines depend on, as JSON has it.
      skeleton: of the joints.
      overwrite: begin anew.

    Raises:
      UserError: the folder's lines were found with other settings, or it
        cannot be written.
    """
    self.path = folder / FORMS['jsonl']
    self.overlays: set[str] = set()
    self._settings_path = folder / 'settings.json'
    self._state = {
      'settings': settings,
      'skeleton': skeleton.to_json(),
      'finished_videos': {},
    }
    self._images: set[str] = set()  # that have a line
    # Of each video that is not done, at what byte a frame's line begins.
    self._unfinished: dict[str, dict[int, int]] = {}
    with system_errors(folder):
      folder.mkdir(parents=True, exist_ok=True)
      if overwrite:
        self.path.unlink(missing_ok=True)
      if self.path.exists():
        self._read(settings)
      # Without it the lines are of no use, to a call that goes on neither.
      self._save_state()
      self._file = self.path.open('ab')

  def _read(self, settings: dict[str, Any]) -> None:
    """Takes up the lines there, but half a line at the end."""
    try:
      state = files.read_json(self._settings_path)
      before = dict(state['settings'])
      finished = dict(state['finished_videos'])
      if not all(isinstance(p, str | None) for p in finished.values()):
        raise ValueError('the problem of a video is no text')
    except FileNotFoundError as error:
      raise UserError(
        f'{self.path} is there without its settings.json; move it, or give '
        '--overwrite.'
      ) from error
    except (OSError, *_DAMAGED) as error:
      reason = getattr(error, 'strerror', None) or repr(error)
      raise UserError(
        f'{self._settings_path} cannot be read ({reason}); mend it, or give '
        'another --output, or --overwrite.'
      ) from error
    self._state['finished_videos'] = finished
    for name, value in settings.items():
      if before.get(name) != value:
        raise UserError(
          f'{self.path} was found with {name} {before.get(name)!r}, not '
          f'{value!r}; give another --output, or --overwrite.'
        )
    whole = 0
    with self.path.open('rb') as file:
      for line in file:
        if not line.endswith(b'\n') and _is_half(line):
          break
        try:
          record = files.parse_json(line)
          _check(record, self._state['skeleton']['joints'])
        except _DAMAGED as error:
          raise UserError(
            f'{self.path} has a damaged line at byte {whole} ({error!r:.100}); '
            'remove that line, or give another --output, or --overwrite.'
          ) from error
        image = record['image']
        self._images.add(image)
        if 'frame' in record and image not in self._state['finished_videos']:
          self._unfinished.setdefault(image, {})[record['frame']] = whole
        self.overlays |= {record['overlay']} if 'overlay' in record else set()
        whole += len(line)
    with self.path.open('r+b') as file:
      file.truncate(whole)

  def done(self, source: Source, *, video: bool) -> bool:
    """Whether all lines of an image or a video are there."""
    name = str(source)
    if video:
      return name in self._state['finished_videos']
    return name in self._images

  def problem(self, source: Source) -> str | None:
    """What was wrong with a video that is done."""
    return self._state['finished_videos'].get(str(source))

  def recorded(self, video: Source, frame: int) -> dict[str, Any] | None:
    """The line of a frame of a video that is not done; None if it has none."""
    start = self._unfinished.get(str(video), {}).get(frame)
    if start is None:
      return None
    with self.path.open('rb') as file:
      file.seek(start)
      return json.loads(file.readline())

  def drop(self, videos: Iterable[Source]) -> None:
    """Takes back the lines of videos that are not done, before any is written.

    Raises:
      UserError: the file cannot be written.
    """
    dropped = {str(video) for video in videos} & self._unfinished.keys()
    starts = {
      at for name in dropped for at in self._unfinished.pop(name).values()
    }
    if not starts:
      return
    new, at = self.path.with_name(f'.{self.path.name}.new'), 0
    with system_errors(self.path):
      with self.path.open('rb') as lines, new.open('wb') as kept:
        for line in lines:
          if at not in starts:
            kept.write(line)
          at += len(line)
      new.replace(self.path)
      self._file.close()
      self._file = self.path.open('ab')

  def write(self, record: dict[str, Any]) -> None:
    """Writes a line, which is in the file when this returns."""
    with system_errors(self.path):
      self._file.write(json.dumps(record).encode() + b'\n')
      self._file.flush()

  def finish_video(self, video: Source, problem: str | None) -> None:
    """Keeps that a video is done, and what was wrong with it.

    Raises:
      UserError: the file cannot be written.
    """
    self._state['finished_videos'][str(video)] = problem
    self._unfinished.pop(str(video), None)
    with system_errors(self._settings_path):
      self._save_state()

  def close(self) -> None:
    with system_errors(self.path):  # what a full disk did not take
      self._file.close()

  def _save_state(self) -> None:
    text = json.dumps(self._state, indent=1) + '\n'
    files.write(self._settings_path, text)


def _is_half(line: bytes) -> bool:
  """Whether a last line without its end is what a crash leaves of ours."""
  begun = _BEGINNING.startswith(line[: len(_BEGINNING)])
  return begun or not line.strip(b'\0')


def _check(record: dict[str, Any], joints: Sequence[str]) -> None:
  """Raises one of `_DAMAGED` where a reader of lines would miss a value."""
  texts = [record['image'], record.get('overlay', '')]
  whole = [record['width'], record['height'], record.get('frame', 0)]
  numbers = [record.get('time', 0)]
  for person in record['people']:
    x, y, width, height = person['box']
    whole.append(person['id'])
    numbers += [x, y, width, height, person['score']]
    for joint in joints:
      numbers += [person['joints'][joint][name] for name in ('x', 'y', 'score')]
  if not all(isinstance(text, str) for text in texts):
    raise TypeError(f'{texts} must be texts')
  if not all(type(number) is int for number in whole):
    raise TypeError(f'{whole} must be whole numbers')
  if not all(map(math.isfinite, numbers)):
    raise ValueError('a number is not finite')


def convert(path: Path, form: str, skeleton: Skeleton) -> Path:
  """Writes the lines of `path` in another of FORMS beside them.

  Raises:
    UserError: the file cannot be written.
  """
  target = path.with_name(FORMS[form])
  if target == path:
    return target
  new = target.with_name(f'.{target.name}.new')
  with system_errors(target):
    # A name that is not UTF-8 is written with escapes.
    with new.open(
      'w', encoding='utf-8', errors='backslashreplace', newline=''
    ) as file:
      if form == 'csv':
        _write_csv(_lines(path), file, skeleton)
      elif form == 'coco':
        numbered = _numbered(path)
        _write_list(_coco(_lines(path), numbered, skeleton), file)
      else:
        _write_list(_lines(path), file)
    new.replace(target)
  return target


def _lines(path: Path) -> Iterator[dict[str, Any]]:
  with path.open('rb') as file:
    for line in file:
      yield json.loads(line)


def _write_list(records: Iterable[dict[str, Any]], file: TextIO) -> None:
  file.write('[')
  for number, record in enumerate(records):
    file.write(f'{"," if number else ""}\n{json.dumps(record)}')
  file.write('\n]\n')


def _write_csv(
  records: Iterable[dict[str, Any]], file: TextIO, skeleton: Skeleton
) -> None:
  columns = [f'{j}_{v}' for j in skeleton.joints for v in ('x', 'y', 'score')]
  head = 'image frame time id score box_x box_y box_width box_height'.split()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(head + columns)
  for record in records:
    for person in record['people']:
      row = [
        record['image'],
        record.get('frame', ''),
        record.get('time', ''),
        person['id'],
        person['score'],
        *person['box'],
      ]
      for joint in skeleton.joints:
        row += person['joints'][joint].values()
      writer.writerow(row)


def _numbered(path: Path) -> bool:
  """Whether every image's name is its number, as COCO's are."""
  return all(
    'frame' not in record and Path(record['image']).stem.isdecimal()
    for record in _lines(path)
  )


def _coco(
  records: Iterable[dict[str, Any]], numbered: bool, skeleton: Skeleton
) -> Iterator[dict[str, Any]]:
  """COCO's keypoint results, which `pycocotools` loads.

  An image's number is that of the detections it was found from, or that in
  its name if all have one, or else counts the lines from 1. No 'bbox' is
  given: pycocotools would take a person's size from it, not from the joints,
  and the AP of medium and large people would not be the evaluation's.
  """
  for line, record in enumerate(records, 1):
    number = int(Path(record['image']).stem) if numbered else line
    for person in record['people']:
      keypoints = []
      for joint in skeleton.joints:
        keypoints += person['joints'][joint].values()
      yield {
        'image_id': record.get('image_id', number),
        'category_id': person.get('category_id', PERSON),
        'keypoints': keypoints,
        'score': round(person['score'] * person.get('box_score', 1), 6),
      }
