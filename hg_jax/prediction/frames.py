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
from hg_jax.prediction.search import Search


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
    search: look for the person first if no box is given.
    track: let the boxes in a video follow the joints.
    smooth: smooth the joints of tracks over time.
    batch_size: how many people the network takes at a time.
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
  search: Search | None = None
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

  @property
  def to_track(self) -> bool:
    """Whether its boxes follow the joints of the frame before."""
    return self.number is not None and self.people is None

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
