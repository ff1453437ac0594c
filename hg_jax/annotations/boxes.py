"""Boxes about people in images: x, y, width and height in px.

They are read from three kinds of files:

  {"photo.jpg": [[x, y, width, height], ...], "clip.mp4": [...]}
  COCO's results: [{"image_id": 139, "category_id": 1, "bbox": [x, y, width,
    height], "score": 0.9}, ...], with "image" or "file_name" in the place of
    "image_id" if wanted; or COCO's annotations with "images"
  MOT's text: frame, id, x, y, width, height, score; frames from 1
"""

import dataclasses
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hg_jax.annotations.coco_file import Id, Image, as_number
from hg_jax.base import typed_json
from hg_jax.base.errors import UserError
from hg_jax.media import videos

Box = tuple[float, float, float, float]

# A person's square over the longer side of the person's box: MPII's square is
# as much larger than a person's height (SPEC 2.1).
ROOM = 1.25
PERSON = 1  # COCO's category
# A box's longer side over the image's. In a larger square nothing is seen of
# the person, and its px fill the memory.
MOST = 32


class Detection(msgspec.Struct):
  """One of COCO's results or annotations."""

  bbox: Box
  image: Id | None = None
  file_name: str | None = None
  image_id: Id | None = None
  score: float = 1.0
  category_id: int = PERSON

  def __post_init__(self):
    self.image_id = as_number(self.image_id)


class Annotations(msgspec.Struct):
  """COCO's annotations."""

  images: list[Image]
  annotations: list[Detection]


@dataclasses.dataclass(frozen=True)
class Person:
  """A person to look at.

  Attributes:
    box: x, y, width and height, px.
    score: of the detector; 1 if it gives none.
    id: of the track, or None.
    category: COCO's number of the category; 1 is a person.
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
    files: the people of each file, by its path, name, stem or number.
    frames: the people of each frame of the only video, from 0, or None.
    image_ids: COCO's number of each file.
    crc32: checksum of the file of boxes; 0 without one.
  """

  everywhere: list[Person] | None = None
  files: dict[str, list[Person]] = dataclasses.field(default_factory=dict)
  frames: dict[int, list[Person]] | None = None
  image_ids: dict[str, int] = dataclasses.field(default_factory=dict)
  crc32: int = 0

  def of(self, source: Path | str) -> list[Person] | None:
    """Returns the people of an image; None if the whole image is one."""
    for name in _names(source):
      if name in self.files:
        return self.files[name]
    # Images that a file of detections leaves out hold nobody.
    return [] if self.image_ids else self.everywhere

  def image_id(self, source: Path | str) -> int | None:
    """Returns COCO's number of an image, if its people are COCO's."""
    return next(
      (self.image_ids[n] for n in _names(source) if n in self.image_ids), None
    )

  def require_use(self, sources: Sequence[Path | str]) -> None:
    """Raises UserError if there are boxes for files that are not predicted."""
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
    """Raises UserError if there are boxes for frames that a video lacks."""
    last = max(self.frames or {}, default=-1) + 1
    if last > count:
      raise UserError(
        f'{video} has {count} frames, but there are boxes for frame {last}: '
        'are they of another video?'
      )


def _names(source: Path | str) -> list[str]:
  """Returns the names that a file goes by: path, name, stem and number."""
  path = Path(source)
  names = [_normal(name) for name in (str(source), path.name, path.stem)]
  if path.stem.isdecimal():
    names.append(str(int(path.stem)))
  return names


def _normal(name: str) -> str:
  """Returns a name in the composed form of Unicode."""
  return unicodedata.normalize('NFC', name)


def box_of(box: Sequence[float]) -> Box:
  """Returns the box as four floats.

  Raises:
    UserError: it is not four finite numbers, or smaller than a pixel.
  """
  try:
    x, y, w, h = (float(number) for number in box)
  except (TypeError, ValueError):
    x = y = w = h = np.nan
  if not np.isfinite([x, y, w, h]).all() or min(w, h) < 1:
    raise UserError(
      f'box {box!s:.80} must be x,y,width,height: four numbers in px, '
      'the last two at least 1.'
    )
  return x, y, w, h


def square(
  box: Sequence[float],  # x, y, width, height; px of the image
  width: int,
  height: int,
) -> tuple[np.ndarray, float]:  # f64[2], px
  """Returns the center and side of the square that the network sees.

  Raises:
    UserError: it is not a box, or lies outside an image of this size, or is
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
    box: one box for every image, or None.
    path: a file of one of the module's three kinds, or None.
    min_score: leave out detections below it.

  Raises:
    UserError: one is not a box, or the file is not of boxes.
  """
  if box is not None and path is not None:
    raise UserError('give --box or --boxes, not both.')
  if box is not None:
    return Boxes(everywhere=[Person(box_of(box))])
  if path is None:
    return Boxes()
  data = typed_json.read(Path(path), wait=True)
  is_mot = Path(path).suffix.lower() in ('.txt', '.csv')
  try:
    found = (_from_mot if is_mot else _from_json)(data, min_score)
  except UnicodeDecodeError as error:
    raise UserError(f'{path} is not text: {error}.') from error
  except UserError as error:
    raise UserError(f'{path}: {error}') from error
  return dataclasses.replace(found, crc32=zlib.crc32(data))


def _from_json(data: bytes, min_score: float) -> Boxes:
  if data[:1000].lstrip().startswith(b'['):
    found = typed_json.decode(data, list[Detection])
    return _from_coco(found, {}, min_score)
  keys = typed_json.decode(data, dict[str, Any]).keys()
  if keys >= {'images', 'annotations'}:
    file = typed_json.decode(data, Annotations)
    names = {image.id: image.file_name for image in file.images}
    return _from_coco(file.annotations, names, min_score)
  boxes = typed_json.decode(data, dict[str, list[Box]])
  return Boxes(
    files={
      _normal(name): [Person(box_of(box)) for box in of_file]
      for name, of_file in boxes.items()
    }
  )


def _from_coco(
  detections: list[Detection], names: dict[Id, str], min_score: float
) -> Boxes:
  """Returns the people among COCO's detections, or what they all are.

  Where some are people, other categories are left out.
  """
  if not detections:
    raise UserError('holds no detections.')
  category = _category({found.category_id for found in detections})
  files, image_ids = {_normal(name): [] for name in names.values()}, {}
  for number, found in enumerate(detections):
    key = found.image or found.file_name or found.image_id
    if key is None:
      raise UserError(f'[{number}]: expected an object with image_id or image.')
    name = _normal(str(names.get(key, key)))
    if isinstance(found.image_id, int):
      image_ids[name] = found.image_id
    else:
      image_ids.setdefault(name, len(image_ids) + 1)
    people = files.setdefault(name, [])
    if found.category_id == category and found.score >= min_score:
      people.append(Person(box_of(found.bbox), found.score, category=category))
  return Boxes(files=files, image_ids=image_ids)


def _category(categories: set[int]) -> int:
  if PERSON in categories:
    return PERSON
  if len(categories) > 1:
    raise UserError(
      f'holds categories {", ".join(map(str, sorted(categories)))} and not 1, '
      'people; leave in the detections of one.'
    )
  return categories.pop()


def _from_mot(data: bytes, min_score: float) -> Boxes:
  """Reads the boxes of tracks in a video."""
  frames = {}
  for number, line in enumerate(data.decode('utf-8-sig').splitlines(), 1):
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
    # Trackers write -1 for a score that they do not give.
    score = 1.0 if score < 0 else score
    if score >= min_score:
      person = Person(box_of(box), score, int(track) if track >= 0 else None)
      frames.setdefault(int(frame) - 1, []).append(person)
  if not frames:
    raise UserError(f'holds no boxes of a score of {min_score:g} or more.')
  return Boxes(frames=frames)
