"""What is predicted, drawn on the photos and videos, in a folder.

Axes: P people, K joints, S input px, H heatmap px.
"""

from pathlib import Path

import cv2
import numpy as np

from hg_jax.base.skeleton import Skeleton
from hg_jax.data import videos
from hg_jax.pictures import figures

_SIDE = 384, 1280  # px, least and greatest longer side of an overlay
_DRAWN_SCORE = 0.1  # joints below it are not seen, so not drawn


class Album:
  """Writes pictures of predictions, a video a frame at a time."""

  def __init__(self, folder: Path, skeleton: Skeleton):
    self._folder = folder
    self._skeleton = skeleton
    self._names = {}  # of each file, its own in the folder
    self._video = None, None  # the file being drawn on, and its writer

  def __enter__(self) -> 'Album':
    return self

  def __exit__(self, *error) -> None:
    self._end_video()

  def add(
    self,
    path: Path,
    number: int | None,
    picture: np.ndarray,  # u8[height, width, 3] RGB
    joints: np.ndarray,  # f[P, K, 2] px of the picture
    scores: np.ndarray,  # f[P, K]
  ) -> None:
    """Draws the people of an image, or of a video's frame of this number."""
    drawn = overlay(picture, joints, scores, self._skeleton)
    if number is None:
      figures.write(self._folder / f'{self._name(path)}_overlay.png', drawn)
      return
    if path != self._video[0]:
      self._end_video()
      target = self._folder / f'{self._name(path)}_overlay.mp4'
      rate = videos.frames_per_second(path)
      self._video = path, videos.Writer(target, rate)
    self._video[1].add(drawn)

  def add_sheets(
    self,
    path: Path,
    seen: list[np.ndarray],  # P of u8[S, S, 3] RGB
    heatmaps: np.ndarray,  # f32[P, H, H, K]
  ) -> None:
    """Draws the heatmaps of each person of an image."""
    for person, picture in enumerate(seen):
      sheet = figures.heatmap_sheet(
        picture, heatmaps[person][None], self._skeleton
      )
      number = f'_{person + 1}' if len(seen) > 1 else ''
      name = f'{self._name(path)}_heatmaps{number}.png'
      figures.write(self._folder / name, sheet)

  def _name(self, path: Path) -> str:
    """The file's name without suffix; numbered if another has it too."""
    if path not in self._names:
      same = sum(other.stem == path.stem for other in self._names)
      self._names[path] = path.stem + (f'_{same + 1}' if same else '')
    return self._names[path]

  def _end_video(self) -> None:
    if self._video[1]:
      self._video[1].close()
    self._video = None, None


def overlay(
  picture: np.ndarray,  # u8[height, width, 3]
  joints: np.ndarray,  # f[P, K, 2] px of it
  scores: np.ndarray,  # f[P, K]
  skeleton: Skeleton,
) -> np.ndarray:  # u8[..., ..., 3]
  """The photo and its people, those joints that the network sees.

  Its longer side becomes one that shows lines two px wide.
  """
  height, width = picture.shape[:2]
  longer = max(height, width)
  factor = float(np.clip(longer, *_SIDE)) / longer
  size = max(round(width * factor), 1), max(round(height * factor), 1)
  way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
  drawn = cv2.resize(picture, size, interpolation=way)
  for person, seen in zip(joints, scores >= _DRAWN_SCORE, strict=True):
    points = person * np.divide(size, (width, height))
    figures.draw_pose(drawn, points, seen, skeleton)
  return drawn
