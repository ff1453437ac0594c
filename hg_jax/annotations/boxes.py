"""Boxes about people in images: x, y, width and height in px.

They are read from three kinds of files:

  {"photo.jpg": [[x, y, width, height], ...], "clip.mp4": [...]}
  COCO's results: [{"image_id": 139, "category_id": 1, "bbox": [x, y, width,
    height], "score": 0.9}, ...], with "image" or "file_name" in the place of
    "image_id" if wanted; or COCO's annotations with "images"
  MOT's text: frame, id, x, y, width, height, score; frames from 1
"""

import dataclasses
import textwrap
import unicodedata
import zlib
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from hg_jax.base import files
from hg_jax.base.errors import UserError
from hg_jax.media import videos

Box = tuple[float, float, float, float]

# Of a person's square over the longer side of the box about the person: MPII
# allows as much about a person's height (SPEC 2.1).
ROOM = 1.25
PERSON = 1  # COCO's category
# Of a box's longer side over the image's: nothing is seen of a person who is
# so small in the square, whose px fill memory.
MOST = 32


@dataclasses.dataclass(frozen=True)
class Person:
  """A person to look at.

  Attributes:
    box: x, y, width and height, px.
    score: the detector's, 1 without one.
    id: the track's, or None.
    category: COCO's number of what it is; 1 is a person.
  """

  box: Box
  score: float = 1.0
  id: int | None = None
  category: int = PERSON


@dataclasses.dataclass(frozen=True)
class Boxes:
  """The people of images and videos.

  Attributes:
    everywhere: the people of every image, or None.
    files: the people of files, by a path, name, stem or number.
    frames: the people of the one video's frames, counted from 0, or None.
    image_ids: COCO's, by name.
    crc32: of the file they were read from, 0 without one.
  """

  everywhere: list[Person] | None = None
  files: dict[str, list[Person]] = dataclasses.field(default_factory=dict)
  frames: dict[int, list[Person]] | None = None
  image_ids: dict[str, int] = dataclasses.field(default_factory=dict)
  crc32: int = 0

  def of(self, source: Path | str) -> list[Person] | None:
    """The people of an image or of all frames; None: the whole is one."""
    for name in _names(source):
      if name in self.files:
        return self.files[name]
    # Of a file of detections, the images that it leaves out hold nobody.
    return [] if self.image_ids else self.everywhere

  def image_id(self, source: Path | str) -> int | None:
    """COCO's number of an image, if its people are COCO's."""
    return next(
      (self.image_ids[n] for n in _names(source) if n in self.image_ids), None
    )

  def require_use(self, sources: Sequence[Path | str]) -> None:
    """Raises UserError if boxes are of files that nobody asked for."""
    clips = [source for source in sources if videos.is_video(source)]
    if self.frames is not None and len(clips) != 1:
      raise UserError(
        f'the boxes are of the frames of one video, not of {len(clips)}.'
      )
    names = {name for source in sources for name in _names(source)}
    unknown = sorted(self.files.keys() - names)
    if unknown and (not self.image_ids or len(unknown) == len(self.files)):
      raise UserError(
        f'there are boxes for {unknown[0]}, but no such file is to be '
        'predicted.'
      )

  def require_frames(self, video: Path | str, count: int) -> None:
    """Raises UserError if boxes are of frames that the video lacks."""
    last = max(self.frames or {}, default=-1) + 1
    if last > count:
      raise UserError(
        f'{video} has {count} frames, but there are boxes for frame {last}: '
        'are they of another video?'
      )


def _names(source: Path | str) -> list[str]:
  """How a file may be named: path, name, stem, and the number it is of."""
  path = Path(source)
  names = [_normal(name) for name in (str(source), path.name, path.stem)]
  if path.stem.isdecimal():
    names.append(str(int(path.stem)))
  return names


def _normal(name: str) -> str:
  """One form for the two that Unicode has for letters with marks."""
  return unicodedata.normalize('NFC', name)


def box_of(box: Sequence[float]) -> Box:
  """Returns the box as four floats.

  Raises:
    UserError: it is not four finite numbers, or less than a pixel.
  """
  try:
    if isinstance(box, (str, bytes, Set, Mapping)):
      raise TypeError  # They have parts, but not these four in this order.
    x, y, w, h = (float(number) for number in box)
  except (OverflowError, TypeError, ValueError):
    x = y = w = h = np.nan
  if not np.isfinite([x, y, w, h]).all() or min(w, h) < 1:
    # In one line; an array of boxes has several.
    shown = textwrap.shorten(str(box), 80, placeholder=' ...')
    raise UserError(
      f'box {shown} must be x,y,width,height: four numbers in px, '
      'the last two at least 1.'
    )
  return x, y, w, h


def square(
  box: Sequence[float],  # x, y, width, height; px of the image
  width: int,
  height: int,
) -> tuple[np.ndarray, float]:  # f64[2], px
  """Center and side of the square that the network sees of a box.

  Raises:
    UserError: the box is none, or lies outside an image of this size, or is
      many times as large.
  """
  x, y, w, h = box_of(box)
  if x >= width or y >= height or x + w <= 0 or y + h <= 0:
    raise UserError(
      f'box {box} lies outside the image of {width} x {height} px.'
    )
  if max(w, h) > MOST * max(width, height):
    raise UserError(
      f'box {box} is more than {MOST} times as large as the image of {width} '
      f'x {height} px.'
    )
  return np.array([x + w / 2, y + h / 2]), ROOM * max(w, h)


def read_boxes(
  box: list[str] | None, path: str | None, *, min_score: float = 0.0
) -> Boxes:
  """Reads the boxes of the command's flags.

  Args:
    box: one for every image, or None.
    path: a file of one of the module's three kinds, or None.
    min_score: leave out detections below it.

  Raises:
    UserError: one is no box, or the file is none of boxes.
  """
  if box is not None and path is not None:
    raise UserError('give --box or --boxes, not both.')
  if box is not None:
    return Boxes(everywhere=[Person(box_of(box))])
  if path is None:
    return Boxes()
  is_mot = Path(path).suffix.lower() in ('.txt', '.csv')
  try:
    data = Path(path).read_bytes()
    given = data.decode('utf-8-sig') if is_mot else files.parse_json(data)
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from error
  except ValueError as error:
    form = 'text' if is_mot else 'JSON'
    raise UserError(f'{path} is not {form}: {error}.') from error
  try:
    found = (_from_mot if is_mot else _from_json)(given, min_score)
  except UserError as error:
    raise UserError(f'{path}: {error}') from error
  return dataclasses.replace(found, crc32=zlib.crc32(data))


def _from_json(given: object, min_score: float) -> Boxes:
  if isinstance(given, list):
    return _from_coco(given, {}, min_score)
  if isinstance(given, dict):
    images, people = given.get('images'), given.get('annotations')
    if isinstance(images, list) and isinstance(people, list):
      try:
        names = {image['id']: image['file_name'] for image in images}
      except (KeyError, TypeError) as error:
        raise UserError('an image lacks id or file_name.') from error
      return _from_coco(people, names, min_score)
    if all(isinstance(boxes, list) for boxes in given.values()):
      return Boxes(
        files={
          _normal(name): [Person(box_of(box)) for box in boxes]
          for name, boxes in given.items()
        }
      )
  raise UserError(
    'must be {"photo.jpg": [[x, y, width, height], ...], ...}, or COCO\'s '
    'results or annotations.'
  )


def _from_coco(
  detections: list, names: dict[int, str], min_score: float
) -> Boxes:
  """The people among COCO's detections, or what they are all of.

  Where some are people, other categories are left out.
  """
  category = _category(detections)
  files, image_ids = {_normal(name): [] for name in names.values()}, {}
  for number, found in enumerate(detections):
    try:
      key = next(
        found[key] for key in ('image', 'file_name', 'image_id') if key in found
      )
      box, score = found['bbox'], float(found.get('score', 1))
    except (StopIteration, KeyError, TypeError, ValueError) as error:
      raise UserError(
        f'detection {number} must have image_id (or image), bbox and score.'
      ) from error
    name = _normal(str(names.get(key, key)))
    if 'image_id' in found and isinstance(found['image_id'], int):
      image_ids[name] = found['image_id']
    else:
      image_ids.setdefault(name, len(image_ids) + 1)
    people = files.setdefault(name, [])
    if found.get('category_id', PERSON) == category and score >= min_score:
      people.append(Person(box_of(box), score, category=category))
  if not image_ids:
    raise UserError('holds no detections.')
  return Boxes(files=files, image_ids=image_ids)


def _category(detections: list) -> int:
  categories = set()
  for number, found in enumerate(detections):
    if isinstance(found, dict):
      category = found.get('category_id', PERSON)
      if not isinstance(category, int):
        raise UserError(f'detection {number}: category_id is {category!r}.')
      categories.add(category)
  if PERSON in categories or not categories:
    return PERSON
  if len(categories) > 1:
    raise UserError(
      f'holds categories {", ".join(map(str, sorted(categories)))} and not 1, '
      'people; leave in the detections of one.'
    )
  return categories.pop()


def _from_mot(text: str, min_score: float) -> Boxes:
  """A track's boxes, of whatever video there is."""
  frames = {}
  for number, line in enumerate(text.splitlines(), 1):
    if not line.strip():
      continue
    try:
      frame, track, *values = (
        float(value) for value in line.replace(',', ' ').split()
      )
      box, score = values[:4], values[4] if len(values) > 4 else 1.0
      if not np.isfinite([frame, track, score]).all():
        raise ValueError
    except ValueError as error:
      raise UserError(
        f'line {number} must be frame, id, x, y, width, height, score.'
      ) from error
    if not (frame >= 1 and frame.is_integer()):
      raise UserError(f'line {number} is of frame {frame:g}; the first is 1.')
    # Trackers write -1 for what they do not say.
    score = 1.0 if score < 0 else score
    if score >= min_score:
      person = Person(box_of(box), score, int(track) if track >= 0 else None)
      frames.setdefault(int(frame) - 1, []).append(person)
  if not frames:
    raise UserError(f'holds no boxes of a score of {min_score:g} or more.')
  return Boxes(frames=frames)
