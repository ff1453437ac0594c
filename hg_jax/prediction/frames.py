"""The settings of prediction, and the frames that pass through its stages.

Axes: P people, K joints, S input px, H = S // 4 heatmap px.
"""

import dataclasses
from typing import Any

import numpy as np

from hg_jax.annotations.boxes import Person
from hg_jax.media import video_writer
from hg_jax.media.sources import Source
from hg_jax.prediction import tracking
from hg_jax.prediction.finder import Search


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """How people are found and drawn.

  Attributes:
    draw: 'jpg' or 'png', the format of overlays of photos; or 'none', which
      leaves out those of videos as well.
    draw_every: n, to draw every nth photo.
    heatmaps: draw a sheet of heatmaps for each person of a photo.
    threshold: the lowest score of a joint that is drawn.
    write_scores: write scores next to joints.
    search: how people are looked for where no boxes are given.
    track: follow people from frame to frame in videos.
    smooth: smooth the joints of tracks over time.
    batch_size: how many people the network takes at a time.
  """

  draw: str = 'jpg'
  draw_every: int = 1
  heatmaps: bool = False
  threshold: float = tracking.SEEN
  write_scores: bool = False
  search: Search = Search(finder=None)
  track: bool = True
  smooth: bool = False
  batch_size: int = 8


@dataclasses.dataclass(kw_only=True)
class Frame:
  """A photo, a video's frame or a video's end, which each stage completes.

  Attributes:
    index: the place of its source among all sources.
    number: of a video's frame, from 0; None for a photo.
    time: of a video's frame, s.
    problem: why the photo, or the rest of the video, cannot be read.
    is_end: whether this is the end of a video, without a picture.
    is_drawn: False if the video's overlay could not be written.
  """

  source: Source
  index: int
  number: int | None = None
  time: float = 0.0
  problem: str | None = None
  is_end: bool = False
  is_drawn: bool = True
  rate: float = 25.0  # frames per second
  recorded: dict[str, Any] | None = None  # its line from an earlier call
  picture: np.ndarray | None = None  # u8[height, width, 3] RGB
  shape: tuple[int, int] = (0, 0)  # its height and width
  to_find: bool = False  # its people are to be looked for
  to_track: bool = False  # its people follow from the frame before
  people: list[Person] | None = None
  image_id: int | None = None  # COCO's
  inputs: np.ndarray | None = None  # u8[P, S, S, 3] RGB
  input_to_image: np.ndarray | None = None  # f64[P, 3, 3]
  found: list[dict[str, Any]] | None = None  # people, as from `to_json`
  joints: np.ndarray | None = None  # f[P, K, 2] px
  scores: np.ndarray | None = None  # f[P, K]
  heatmaps: np.ndarray | None = None  # f32[P, H, H, K]
  name: str | None = None  # of its pictures; None if it is not drawn
  drawn: np.ndarray | None = None  # u8[..., ..., 3] RGB

  def keep(self, rows: list[int]) -> None:
    """Keeps these of its people, in this order."""
    if self.found is not None:
      self.found = [self.found[row] for row in rows]
    if self.people is not None and not self.recorded:
      self.people = [self.people[row] for row in rows]
    self.joints, self.scores = self.joints[rows], self.scores[rows]
    for name in ('inputs', 'heatmaps'):
      if (values := getattr(self, name)) is not None:
        setattr(self, name, values[rows])

  def overlay(self, settings: Settings) -> str:
    """Returns the file name of its overlay, or its video's."""
    is_photo = self.number is None
    suffix = f'.{settings.draw}' if is_photo else video_writer.SUFFIX
    return f'{self.name}_overlay{suffix}'

  def record(self, settings: Settings) -> dict[str, Any]:
    """Returns its line of predictions.jsonl."""
    height, width = self.shape
    line = {'image': str(self.source), 'width': width, 'height': height}
    if self.number is not None:
      line |= {'frame': self.number, 'time': self.time}
    if self.image_id is not None:
      line['image_id'] = self.image_id
    if self.name is not None and settings.draw != 'none':
      line['overlay'] = self.overlay(settings)
    return line | {'people': self.found}
