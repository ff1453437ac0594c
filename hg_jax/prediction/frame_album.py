"""Draws frames of photos and videos into a folder."""

from pathlib import Path

from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.media import video_writer
from hg_jax.pictures import album, figures, heatmap_sheets
from hg_jax.prediction.frames import Frame, Settings
from hg_jax.prediction.prediction_lines import PredictionLines


class FrameAlbum:
  """Draws frames: `resize` and `draw` in any thread, the rest in order.

  A video that cannot be written, or that is not read to its end, leaves no
  file.
  """

  def __init__(
    self, predictions: PredictionLines, settings: Settings, skeleton: Skeleton
  ):
    self._folder = predictions.path.parent
    self._settings = settings
    self._skeleton = skeleton
    self._names = album.Names(
      name.rpartition('_overlay')[0] for name in predictions.overlays
    )
    self._video = None, ''  # source and name of the one being predicted
    self._writer: video_writer.VideoWriter | None = None
    self._problem = None  # why the current video cannot be written

  def __enter__(self) -> 'FrameAlbum':
    return self

  def __exit__(self, *_) -> None:
    if self._writer is not None:
      self._writer.discard()

  def resize(self, frame: Frame) -> None:
    """Copies the picture of a frame that is drawn, in the size to draw on."""
    if self._settings.draw != 'none' and (
      frame.number is not None or self._is_drawn(frame)
    ):
      frame.drawn = album.resized(frame.picture)

  def name(self, frame: Frame) -> None:
    """Names the overlay of a photo or of a frame's video."""
    settings = self._settings
    if frame.number is None:
      if self._is_drawn(frame):
        frame.name = self._names.of(frame.source)
    elif settings.draw != 'none':
      if frame.source != self._video[0]:
        before = (frame.recorded or {}).get('overlay', '')
        name = before.rpartition('_overlay')[0] or self._names.of(frame.source)
        self._video = frame.source, name
      frame.name = self._video[1]

  def _is_drawn(self, photo: Frame) -> bool:
    wanted = self._settings.draw != 'none' or self._settings.heatmaps
    return wanted and photo.index % self._settings.draw_every == 0

  def draw(self, frame: Frame) -> Frame:
    """Draws a frame; writes the pictures of a photo."""
    if frame.name is None:
      frame.drawn = frame.inputs = frame.heatmaps = None
      return frame
    settings = self._settings
    if settings.draw != 'none':
      album.overlay(
        frame.drawn,
        frame.shape,
        frame.joints,
        frame.scores,
        [person['id'] for person in frame.found],
        self._skeleton,
        threshold=settings.threshold,
        write_scores=settings.write_scores,
      )
    if frame.number is None:
      if settings.draw != 'none':
        figures.write(self._folder / frame.overlay(settings), frame.drawn)
      if settings.heatmaps:
        self._draw_heatmaps(frame)
      frame.drawn = None
    frame.inputs = frame.heatmaps = None
    return frame

  def _draw_heatmaps(self, frame: Frame) -> None:
    several = len(frame.found) > 1
    for i, person in enumerate(frame.found):
      title, number = Path(frame.source).name, ''
      if several:
        title, number = f'{title}, person {person["id"]}', f'_{i + 1}'
      sheet = heatmap_sheets.joint_sheet(
        frame.inputs[i], frame.heatmaps[i], self._skeleton, title
      )
      path = self._folder / f'{frame.name}_heatmaps{number}.png'
      figures.write(path, sheet)

  def add(self, frame: Frame) -> Frame:
    """Writes a frame to its video, or completes the video at its end.

    The end gets the problem if the video cannot be written.
    """
    try:
      if frame.is_end:
        self._end()
      elif frame.drawn is not None and self._problem is None:
        if self._writer is None:
          path = self._folder / frame.overlay(self._settings)
          self._writer = video_writer.VideoWriter(path, frame.rate)
        self._writer.add(frame.drawn, frame.time)
    except UserError as error:
      self._problem = str(error)
    if frame.is_end and self._problem is not None:
      frame.problem = frame.problem or self._problem
      frame.is_drawn, self._problem = False, None
    frame.drawn = None
    return frame

  def _end(self) -> None:
    writer, self._writer = self._writer, None
    if writer is not None and self._problem is None:
      writer.close()
    elif writer is not None:
      writer.discard()
