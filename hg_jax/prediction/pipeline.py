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

from hg_jax.annotations.boxes import PERSON, Boxes
from hg_jax.base import affine, threads
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.media import images, videos
from hg_jax.media.sources import Source
from hg_jax.prediction import tracking
from hg_jax.prediction.frame_album import FrameAlbum
from hg_jax.prediction.frames import Frame, Settings
from hg_jax.prediction.prediction_lines import PredictionLines
from hg_jax.prediction.predictor import Predictor, color_text, to_json
from hg_jax.prediction.tracking import Tracks

_THREADS = max(len(os.sched_getaffinity(0)), 2)
_AHEAD = 4  # frames of a video that are decoded before they are used
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
    stages = _Stages(predictor, boxes, settings, album)
    frames = threads.read_ahead(
      _frames(sources, boxes, predictions), ahead=_AHEAD
    )
    loaded = threads.map_ahead(
      stages.load, frames, threads=_THREADS, ahead=_THREADS + 1
    )
    drawn = threads.map_ahead(
      album.draw, stages.find(loaded), threads=_THREADS, ahead=_THREADS
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


class _Stages:
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
    self._tracks: Tracks | None = None  # of the video being predicted

  def load(self, frame: Frame) -> Frame:
    """Reads a photo, and cuts out the people whose boxes are known."""
    if frame.is_end:
      return frame
    try:
      if frame.number is None:
        frame.picture = images.read_upright(frame.source)
      frame.shape = frame.picture.shape[:2]
      self._album.resize(frame)
      frame.image_id = self._boxes.image_id(frame.source)
      if self._boxes.frames is not None and frame.number is not None:
        frame.people = self._boxes.frames.get(frame.number, [])
      elif frame.number is None or not self._settings.track:
        frame.people = self._boxes.of(frame.source)
        frame.to_find = frame.people is None and not frame.recorded
      else:
        frame.to_track = True
      if frame.people is not None and not frame.recorded:
        self._look_at_people(frame)
        frame.picture = None  # It may have 100 megapixels.
    except UserError as error:
      message = str(error)
      named = message.startswith(str(frame.source))
      frame.problem = message if named else f'{frame.source}: {message}'
    return frame

  def _look_at_people(self, frame: Frame) -> None:
    frame.inputs, frame.input_to_image = self._predictor.look(
      frame.picture, [person.box for person in frame.people]
    )

  def find(self, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Runs the networks, a batch of people at a time."""
    waiting, people, held = [], 0, 0
    for frame in frames:
      waiting.append(frame)
      people += 1 if frame.to_find else len(frame.people or ())
      held += 0 if frame.picture is None else frame.picture.nbytes
      full = people >= self._settings.batch_size or held > _HELD
      if full or frame.to_track or frame.is_end or len(waiting) > 64:
        yield from self._find_batch(waiting)
        waiting, people, held = [], 0, 0
    yield from self._find_batch(waiting)

  def _find_batch(self, frames: list[Frame]) -> Iterator[Frame]:
    sought = [f for f in frames if f.to_find and not f.problem]
    found = self._settings.search.people([f.picture for f in sought])
    for frame, frame.people in zip(sought, found, strict=True):
      self._look_at_people(frame)
    new = [f for f in frames if f.inputs is not None and not f.problem]
    if new:
      self._run_network(new, self._settings.batch_size)
    for frame in frames:
      if frame.is_end:
        self._tracks = None
      elif not frame.problem:
        try:
          self._complete(frame)
        except UserError as error:  # a box outside the video's frame
          frame.problem = f'{frame.source}: {error}'
      frame.picture = None
      yield frame

  def _run_network(self, frames: list[Frame], size: int | None) -> None:
    joints, scores, maps = self._predictor.people(
      np.concatenate([frame.inputs for frame in frames]),
      size=size,
      heatmaps=self._settings.heatmaps,
    )
    start = 0
    for frame in frames:
      part = slice(start, start := start + len(frame.inputs))
      frame.joints = affine.apply(joints[part], frame.input_to_image)
      frame.scores = scores[part]
      frame.heatmaps = None if maps is None else maps[part]

  def _complete(self, frame: Frame) -> None:
    """Makes a line's people of what was found; moves the tracks' boxes."""
    if frame.to_track:
      self._look_at_tracks(frame)
    if frame.recorded:
      frame.found = frame.recorded['people']
    else:
      if frame.to_find and self._settings.search.finder:
        frame.keep(tracking.distinct(frame.joints, frame.scores))
      frame.found = self._to_json(frame)
    # From here on as a line has them, so that a call that goes on where
    # another was stopped finds the same.
    frame.joints, frame.scores = _arrays(frame.found, self._predictor.skeleton)
    if frame.to_track:
      self._follow(frame)
    self._album.name(frame)

  def _look_at_tracks(self, frame: Frame) -> None:
    """Looks at the people of a video where they are to be in this frame."""
    search = self._settings.search
    if self._tracks is None:
      self._tracks = Tracks(self._starts(frame), most=search.most)
    found = None
    if self._tracks.to_find(frame.number):
      (found,) = search.finder([frame.picture], min_score=search.min_score)
    frame.people = self._tracks.people(found)
    if not frame.recorded:
      self._look_at_people(frame)
      self._run_network([frame], size=None)

  def _starts(self, frame: Frame) -> list[tuple] | None:
    """Returns the boxes that a video begins with; None: people are found."""
    people = self._boxes.of(frame.source)
    if people is None and self._settings.search.finder is None:
      (people,) = self._settings.search.people([frame.picture])
    return None if people is None else [person.box for person in people]

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
    """Keeps those who were seen in a frame, with the numbers of tracks."""
    height, width = frame.shape
    if frame.recorded:
      ids = [person['id'] for person in frame.found]
    else:
      ids = [person.id for person in frame.people]
    seen = self._tracks.follow(ids, frame.joints, frame.scores, width, height)
    frame.keep([row for row, _ in seen])
    for n, (person, (_, track)) in enumerate(
      zip(frame.found, seen, strict=True)
    ):
      person |= {'id': track.id, 'color': color_text(track.id)}
      if self._settings.smooth:
        frame.joints[n] = track.smoothed(frame.joints[n], frame.time)
        frame.joints[n] = np.round(frame.joints[n], 2)
        for joint, (x, y) in zip(
          person['joints'].values(), frame.joints[n].tolist(), strict=True
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
