"""How people are found and drawn, and a picture on its way to that.

Axes: P people, K joints, S input px, H = S // 4 heatmap px.
"""

import dataclasses
from typing import Any

import numpy as np

from hg_jax.annotations.boxes import Person
from hg_jax.media import video_writer
from hg_jax.media.sources import Source
from hg_jax.prediction import tracking
from hg_jax.prediction.search import Search


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """How people are found and drawn.

  Attributes:
    draw: 'jpg' or 'png' overlays of photos, or 'none', also of videos.
    draw_every: draw one of so many photos.
    heatmaps: draw a sheet for each person of a photo, too.
    threshold: the least score of a joint that is drawn.
    write_scores: write scores beside joints.
    search: look for the person first, where no box was given.
    track: in videos, let boxes follow the joints found.
    smooth: smooth the joints of tracks over time.
    batch_size: people that the network takes at a time.
  """

  draw: str = 'jpg'
  draw_every: int = 1
  heatmaps: bool = False
  threshold: float = tracking.SEEN
  write_scores: bool = False
  search: bool = True
  track: bool = True
  smooth: bool = False
  batch_size: int = 8


@dataclasses.dataclass(kw_only=True)
class Frame:
  """A photo or a video's frame on its way; or a video's end.

  Attributes:
    index: of the source.
    number: of a video's frame, from 0; None of a photo.
    time: s, of a video's frame.
    problem: why it, or the rest of the video, could not be read.
    is_end: no picture, but the end of its video.
    is_drawn: the video's overlay, if any, could be written.
  """

  source: Source
  index: int
  number: int | None = None
  time: float = 0.0
  problem: str | None = None
  is_end: bool = False
  is_drawn: bool = True
  rate: float = 25.0  # frames per second
  # What was found in an earlier call.
  recorded: dict[str, Any] | None = None
  picture: np.ndarray | None = None  # u8[height, width, 3] RGB
  shape: tuple[int, int] = (0, 0)  # its height and width
  search: Search | None = None  # for its person
  people: list[Person] | None = None
  image_id: int | None = None  # COCO's
  inputs: np.ndarray | None = None  # u8[P, S, S, 3] RGB
  input_to_image: np.ndarray | None = None  # f64[P, 3, 3]
  found: list[dict[str, Any]] | None = None  # people, as `to_json` has them
  joints: np.ndarray | None = None  # f[P, K, 2] px
  scores: np.ndarray | None = None  # f[P, K]
  heatmaps: np.ndarray | None = None  # f32[P, H, H, K]
  name: str | None = None  # of its pictures; None: not drawn
  drawn: np.ndarray | None = None  # u8[..., ..., 3] RGB

  @property
  def to_track(self) -> bool:
    """Whether its people's boxes follow from the frame before."""
    return self.number is not None and self.people is None

  def overlay(self, settings: Settings) -> str:
    """The name of its picture or its video's."""
    if self.number is None:
      return f'{self.name}_overlay.{settings.draw}'
    return f'{self.name}_overlay{video_writer.SUFFIX}'

  def record(self, settings: Settings) -> dict[str, Any]:
    """Its line of predictions.jsonl."""
    height, width = self.shape
    line = {'image': str(self.source), 'width': width, 'height': height}
    if self.number is not None:
      line |= {'frame': self.number, 'time': self.time}
    if self.image_id is not None:
      line['image_id'] = self.image_id
    if self.name is not None and settings.draw != 'none':
      line['overlay'] = self.overlay(settings)
    return line | {'people': self.found}
