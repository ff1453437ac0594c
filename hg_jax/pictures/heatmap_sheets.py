"""Draws heatmaps over the network's input, a panel for each.

The panels of a sheet share one color scale, from 0 to their greatest value. A
ring marks the joint that is decoded from each.

Axes: S side of the crop px, H side of the heatmaps px, N stacks, K joints.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from hg_jax.base.skeleton import Skeleton
from hg_jax.model import heatmaps as heatmaps_lib
from hg_jax.pictures import figures, lettering

_LEAST_SCALE = 0.1  # keeps noise dark
_RING = (120, 255, 120)


def joint_sheet(
  crop: np.ndarray,  # uint8[S, S, 3]
  heatmaps: np.ndarray,  # f32[H, H, K]
  skeleton: Skeleton,
  title: str = '',
) -> np.ndarray:  # uint8[..., ..., 3]
  """Draws a panel per joint, with its name and its heatmap's maximum."""
  columns = math.ceil(math.sqrt(len(skeleton.joints)))
  return _sheet(crop, heatmaps, skeleton.joints, columns, title)


def stack_sheet(
  crop: np.ndarray,  # uint8[S, S, 3]
  heatmaps: np.ndarray,  # f32[N, H, H, K]
  joint: int,
  skeleton: Skeleton,
) -> np.ndarray:  # uint8[..., ..., 3]
  """Draws one joint's heatmaps, a panel per stack."""
  stacks = np.moveaxis(heatmaps[..., joint], 0, -1)
  names = [f'stack {number}' for number in range(1, len(heatmaps) + 1)]
  title = f'{skeleton.joints[joint]}, every stack'
  return _sheet(crop, stacks, names, min(len(names), 4), title)


def _sheet(
  crop: np.ndarray,
  heatmaps: np.ndarray,  # f32[H, H, M]
  names: Sequence[str],  # M
  columns: int,
  title: str,
) -> np.ndarray:
  most = max(float(heatmaps.max()), _LEAST_SCALE)
  decoded, _ = heatmaps_lib.decode(heatmaps)
  panels = [
    _panel(crop, heatmaps[..., i], np.asarray(decoded)[i], most, name)
    for i, name in enumerate(names)
  ]
  scale = f'colors from 0 to {most:.2f}, rings at the maximum'
  return figures.sheet(
    panels, columns, title=f'{title}   {scale}' if title else scale
  )


def _panel(crop, heatmap, decoded, most, name):
  """Draws a heatmap in color over the gray crop, without smoothing it.

  Its pixel j covers the crop's pixels [4 j, 4 (j + 1)), 4 = S / H.
  """
  picture, _ = figures.enlarge(crop, 256)
  stride = picture.shape[0] // heatmap.shape[0]
  heat = np.clip(heatmap / most, 0, 1)
  heat = np.repeat(np.repeat(heat, stride, axis=0), stride, axis=1)
  color = cv2.applyColorMap(np.uint8(255 * heat), cv2.COLORMAP_INFERNO)
  color = cv2.cvtColor(color, cv2.COLOR_BGR2RGB)
  gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
  share = np.minimum(1.5 * heat, 1)[..., None]
  panel = np.uint8(gray * (1 - share) + color * share)
  if heatmap.max() > 0:
    figures.ring(panel, decoded * stride, _RING, radius=max(1.2 * stride, 9))
  strip = lettering.caption(panel.shape[1], f'{name}  {heatmap.max():.2f}')
  return np.vstack([strip, panel])
