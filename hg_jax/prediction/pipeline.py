"""Many photos and videos to joints: reading, network and drawing overlap.

Frames pass through four stages, always in order: a thread decodes videos,
some read photos and cut out the people, the caller's runs the network, and
some draw. A photo is a frame without a number.

Axes: P people, K joints, S input px, H = S // 4 heatmap px.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from hg_jax.annotations.boxes import PERSON, Box, Boxes, Person
from hg_jax.base import affine, threads
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.media import images, videos
from hg_jax.media.sources import Source
from hg_jax.prediction.frame_album import FrameAlbum
from hg_jax.prediction.frames import Frame, Settings
from hg_jax.prediction.prediction_lines import PredictionLines
from hg_jax.prediction.predictor import Predictor, to_json
from hg_jax.prediction.search import Search
from hg_jax.prediction.tracking import Track

_THREADS = max(len(os.sched_getaffinity(0)), 2)
_AHEAD = 4  # frames of a video that are decoded before they are used
_CLOSER_EVERY = 10  # frames in which a video's person was not found
_HELD = 2**28  # bytes, about, of photos in which people are searched for


def run(
  predictor: Predictor,
  sources: list[Source],
  boxes: Boxes,
  settings: Settings,
  predictions: PredictionLines,
) -> Iterator[Frame]:
  """Finds the people of all sources that `predictions` has not; draws them.

  Yields:
    Each frame, once it is drawn, and each video's end; with a problem in the
    place of people where it could not be read.
  """
  if settings.smooth:  # The filter's state is not in the lines.
    predictions.drop(sources)
  with FrameAlbum(predictions, settings, predictor.skeleton) as album:
    finder = _Finder(predictor, boxes, settings, album)
    frames = threads.read_ahead(
      _frames(sources, boxes, predictions), ahead=_AHEAD
    )
    loaded = threads.map_ahead(
      finder.load, frames, threads=_THREADS, ahead=_THREADS + 1
    )
    drawn = threads.map_ahead(
      album.draw, finder.find(loaded), threads=_THREADS, ahead=_THREADS
    )
    yield from threads.map_ahead(album.add, drawn, threads=1, ahead=_AHEAD)


def _frames(
  sources: list[Source], boxes: Boxes, predictions: PredictionLines
) -> Iterator[Frame]:
  """Photos to read, and the decoded frames of videos."""
  for index, source in enumerate(sources):
    is_video = videos.is_video(source)
    if predictions.done(source, video=is_video):
      continue
    if not is_video:
      yield Frame(source=source, index=index)
      continue
    problem = None
    try:
      with videos.Video(source) as video:
        number = -1
        for number, (time, picture) in enumerate(video):
          yield Frame(
            source=source,
            index=index,
            number=number,
            time=round(time, 4),
            rate=video.rate,
            picture=picture,
            recorded=predictions.recorded(source, number),
          )
        boxes.require_frames(source, number + 1)
    except UserError as error:
      problem = str(error)
    yield Frame(source=source, index=index, is_end=True, problem=problem)


class _Finder:
  """The stages from a frame's pixels to its people."""

  def __init__(
    self,
    predictor: Predictor,
    boxes: Boxes,
    settings: Settings,
    album: FrameAlbum,
  ):
    self._predictor = predictor
    self._boxes = boxes
    self._settings = settings
    self._album = album
    self._tracks: list[Track] | None = None  # of the video being predicted

  def load(self, frame: Frame) -> Frame:
    """Reads a photo, and cuts out the people whose boxes are known."""
    if frame.is_end:
      return frame
    try:
      if frame.number is None:
        frame.picture = images.read_upright(frame.source)
      picture = frame.picture
      frame.shape = picture.shape[:2]
      self._album.resize(frame)
      frame.image_id = self._boxes.image_id(frame.source)
      if self._boxes.frames is not None and frame.number is not None:
        frame.people = self._boxes.frames.get(frame.number, [])
      elif frame.number is None or not self._settings.track:
        frame.people = self._people_of(frame)
      if frame.to_track or frame.recorded:
        return frame
      if self._searches(frame):
        size = self._predictor.image_size
        frame.search = Search(picture, size)
        frame.inputs, frame.input_to_image = frame.search.look()
      else:
        self._look_at_people(frame)
        frame.picture = None  # It may have 100 megapixels.
    except UserError as error:
      message = str(error)
      named = message.startswith(str(frame.source))
      frame.problem = message if named else f'{frame.source}: {message}'
    return frame

  def _people_of(self, frame: Frame) -> list[Person]:
    people = self._boxes.of(frame.source)
    if people is None:
      height, width = frame.shape
      people = [Person((0.0, 0.0, float(width), float(height)))]
    return people

  def _searches(self, frame: Frame) -> bool:
    boxes = self._boxes
    has_boxes = boxes.frames is not None or boxes.of(frame.source) is not None
    return self._settings.search and not has_boxes

  def _look_at_people(self, frame: Frame) -> None:
    frame.inputs, frame.input_to_image = self._predictor.look(
      frame.picture, [person.box for person in frame.people]
    )

  def find(self, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Runs the network, a batch of people at a time."""
    waiting, people, held = [], 0, 0
    for frame in frames:
      single = frame.to_track or frame.is_end
      waiting.append(frame)
      if frame.inputs is not None:
        people += 1 if frame.search else len(frame.people)
      held += 0 if frame.picture is None else frame.picture.nbytes
      full = people >= self._settings.batch_size or held > _HELD
      if full or single or len(waiting) > 64:
        yield from self._find_batch(waiting)
        waiting, people, held = [], 0, 0
    yield from self._find_batch(waiting)

  def _find_batch(self, frames: list[Frame]) -> Iterator[Frame]:
    size = self._settings.batch_size
    new = [f for f in frames if f.inputs is not None and not f.problem]
    self._search([frame for frame in new if frame.search])
    if new:
      self._run_network(new, size)
    for frame in frames:
      if frame.is_end:
        self._tracks = None
      elif not frame.problem:
        try:
          self._complete(frame)
        except UserError as error:  # a box outside the video's frame
          frame.problem = f'{frame.source}: {error}'
      frame.picture = frame.search = None
      yield frame

  def _search(self, frames: list[Frame]) -> None:
    """Looks where a person is, as `Predictor.search` does for one photo."""
    while frames:
      self._run_network(frames, self._settings.batch_size, glance=True)
      for frame in frames:
        frame.search.tell(frame.joints, frame.scores)
        if frame.search.box is None:
          frame.inputs, frame.input_to_image = frame.search.look()
        else:
          frame.people = [Person(frame.search.box)]
          self._look_at_people(frame)
      frames = [frame for frame in frames if frame.search.box is None]

  def _run_network(
    self, frames: list[Frame], size: int | None, *, glance: bool = False
  ) -> None:
    joints, scores, maps = self._predictor.people(
      np.concatenate([frame.inputs for frame in frames]),
      size=size,
      heatmaps=self._settings.heatmaps and not glance,
      glance=glance,
    )
    start = 0
    for frame in frames:
      part = slice(start, start := start + len(frame.inputs))
      frame.joints = affine.apply(joints[part], frame.input_to_image)
      frame.scores = scores[part]
      frame.heatmaps = None if maps is None else maps[part]

  def _complete(self, frame: Frame) -> None:
    """Makes a line's people of what was found; moves the tracks' boxes."""
    to_track = frame.to_track
    if to_track and self._tracks is None:
      self._tracks = [
        Track(box, number, smooth=self._settings.smooth)
        for number, box in enumerate(self._starts(frame), 1)
      ]
    if frame.recorded:
      frame.found = frame.recorded['people']
    else:
      if to_track:
        frame.people = [
          Person(t.box or self._search_again(frame), id=t.id)
          for t in self._tracks
        ]
        self._look_at_people(frame)
        self._run_network([frame], size=None)
      frame.found = self._to_json(frame)
    # From here on as a line has them, so that a call that goes on where
    # another was stopped finds the same.
    frame.joints, frame.scores = _arrays(frame.found, self._predictor.skeleton)
    if to_track:
      self._follow(frame)
    self._album.name(frame)

  def _search_again(self, frame: Frame) -> Box:
    # A minute with nobody in sight should not take an hour.
    closer = frame.number % _CLOSER_EVERY == 0
    return self._predictor.search(frame.picture, closer=closer)

  def _starts(self, frame: Frame) -> list[Box | None]:
    """Where the tracks of a video begin; None: to be searched for."""
    if self._searches(frame):
      return [None]
    return [person.box for person in self._people_of(frame)]

  def _to_json(self, frame: Frame) -> list[dict[str, Any]]:
    ids = [
      number if person.id is None else person.id
      for number, person in enumerate(frame.people, 1)
    ]
    boxes = [person.box for person in frame.people]
    found = to_json(
      frame.joints, frame.scores, boxes, ids, self._predictor.skeleton
    )
    for person, given in zip(found, frame.people, strict=True):
      if given.score != 1:
        person['box_score'] = given.score
      if given.category != PERSON:
        person['category_id'] = given.category
    return found

  def _follow(self, frame: Frame) -> None:
    height, width = frame.shape
    for i, track in enumerate(self._tracks):
      joints = track.update(
        frame.joints[i], frame.scores[i], frame.time, width, height
      )
      if self._settings.smooth:
        frame.joints[i] = np.round(joints, 2)
        for joint, (x, y) in zip(
          frame.found[i]['joints'].values(),
          frame.joints[i].tolist(),
          strict=True,
        ):
          joint |= {'x': x, 'y': y}


def _arrays(
  people: list[dict[str, Any]], skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:  # f64[P, K, 2] px, f64[P, K]
  """The numbers of a line's people."""
  values = np.array(
    [[list(j.values()) for j in p['joints'].values()] for p in people],
    np.float64,
  ).reshape(-1, len(skeleton.joints), 3)
  return values[..., :2].copy(), values[..., 2]
