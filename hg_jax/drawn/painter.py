"""Paints puppets, and finds which of their joints are visible.

Parts are painted back to front. Each is a convex hull of circles whose centers
are the puppet's points, so a limb ends exactly at its joints. Radii are in
head sizes.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from hg_jax.drawn.puppet import (  # fmt: skip
  HEAD,
  HEAD_TOP,
  LEFT,
  NECK,
  PELVIS,
  RIGHT,
  SIDES,
  THORAX,
  Color,
  Puppet,
)

# For each limb: its two end points and the radius at each, how far it lies in
# front of the body's middle, the garment over it, and which stretch of the
# style's `legs` or `sleeves` covers it.
LIMBS = {
  'thigh': ('hip', 'knee', (0.36, 0.25), 0.0,
            'trousers', 'legs', (0.0, 0.5)),
  'shin': ('knee', 'ankle', (0.25, 0.15), 0.02,
           'trousers', 'legs', (0.5, 1.0)),
  'foot': ('ankle', 'toe', (0.17, 0.15), 0.04,
           'shoes', 'legs', (0.0, 0.01)),
  'upper arm': ('shoulder', 'elbow', (0.25, 0.18), 0.3,
                'shirt', 'sleeves', (0.0, 0.5)),
  'forearm': ('elbow', 'wrist', (0.18, 0.12), 0.32,
              'shirt', 'sleeves', (0.5, 1.0)),
  'hand': ('wrist', 'hand', (0.13, 0.16), 0.34,
           'shirt', 'sleeves', (1.0, 1.2)),
}  # fmt: skip
# The radius of each pad, which covers the two limbs that meet there.
PADS = {'ankle': 0.26, 'knee': 0.29, 'wrist': 0.26, 'elbow': 0.26}
PARTS = ('hips', 'chest', 'neck', 'hair', 'head') + tuple(
  f'{side} {part}'
  for side in SIDES
  for part in (*LIMBS, *(f'{joint} pad' for joint in PADS))
)
# The parts on which each joint is visible; any other part hides it.
SEEN_ON = {
  PELVIS: ('hips', 'chest'),
  THORAX: ('chest', 'neck'),
  NECK: ('neck', 'head', 'chest'),
  HEAD_TOP: ('head',),
}
for _side, _joints in SIDES.items():
  SEEN_ON |= {
    _joints['hip']: (f'{_side} thigh', 'hips', 'chest'),
    _joints['shoulder']: (f'{_side} upper arm', 'chest'),
    **{_joints[_pad]: (f'{_side} {_pad} pad',) for _pad in PADS},
  }

_SHIFT = 4  # OpenCV takes coordinates in 1 / 16 px
_CIRCLE = np.stack(
  [f(np.arange(24) * np.pi / 12) for f in (np.cos, np.sin)], axis=1
)
# Round things are dark at the edge and light in the middle: they are hulls of
# smaller and smaller circles. Each has the fraction of the radius that is left
# out, and the brightness.
_SHADES = ((0.0, 0.6), (0.13, 0.85), (0.35, 1.0), (0.6, 1.1))

Layer = tuple[list[tuple[float, float, float]], Color]  # circles, their color


class Canvas:
  """A picture, and the part of a person that each pixel shows.

  Attributes:
    image: u8[H, W, 3], red, green, blue.
    owner: u8[H, W], the `owner_id` of the part; 0 for anything else.
  """

  def __init__(self, image: np.ndarray):
    self.image = image
    self.owner = np.zeros(image.shape[:2], np.uint8)

  def fill(
    self,
    circles: np.ndarray,  # f[N, 3]: x, y and radius, px
    color: Color,
    *,
    owner: int = 0,
    light: tuple[float, float] = (0.0, -0.5),
  ) -> None:
    """Paints the convex hull of circles, shaded and lit from one side."""
    circles = np.asarray(circles, np.float64)
    cv2.fillConvexPoly(self.owner, _hull(circles), owner, cv2.LINE_8, _SHIFT)
    for inset, shade in _SHADES:
      lit = circles * [1, 1, 1 - inset]
      lit[:, :2] += 0.6 * inset * circles[:, 2:] * light
      tone = np.clip(np.multiply(color, shade), 0, 255).tolist()
      cv2.fillConvexPoly(self.image, _hull(lit), tone, cv2.LINE_AA, _SHIFT)


def _hull(circles: np.ndarray) -> np.ndarray:
  rims = circles[:, None, :2] + circles[:, None, 2:] * _CIRCLE
  # OpenCV's coordinates are half a pixel less than ours; see `affine`.
  rims = np.round((rims.reshape(-1, 2) - 0.5) * 2**_SHIFT)
  return cv2.convexHull(rims.astype(np.int32))


def owner_id(person: int, part: str) -> int:
  """Returns the value of `Canvas.owner` for a part of a person."""
  return 1 + person * len(PARTS) + PARTS.index(part)


def paint(canvas: Canvas, puppet: Puppet, person: int) -> None:
  """Paints a puppet, person number `person`, over the canvas."""
  if puppet.seated:
    canvas.fill(_stool(puppet), puppet.style.pattern)
  parts = [*_torso(puppet), *_head(puppet), *_limbs(puppet)]
  for _, part, layers in sorted(parts, key=lambda part: part[0]):
    owner = owner_id(person, part)
    for circles, color in layers:
      canvas.fill(circles, color, owner=owner, light=puppet.style.light)


def seen(
  canvas: Canvas, puppet: Puppet, person: int
) -> tuple[np.ndarray, np.ndarray]:  # bool[16], bool[16]
  """Returns whether each joint is in the picture, and whether it is visible."""
  height, width = canvas.owner.shape
  x, y = np.floor(puppet.points[:16, :2]).astype(int).T
  inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
  visible = np.array([
    inside[joint]
    and canvas.owner[y[joint], x[joint]]
    in [owner_id(person, part) for part in SEEN_ON[joint]]
    for joint in range(16)
  ])  # fmt: skip
  return inside, visible


# The following functions yield parts: the nearness to the viewer, in head
# sizes, the name, and the layers in the order of painting.
def _limbs(puppet: Puppet) -> Iterator[tuple[float, str, list[Layer]]]:
  style, unit = puppet.style, puppet.head_size
  for side, joints in SIDES.items():
    limbs = []
    for limb, row in LIMBS.items():
      start, end, radii, before, garment, length, (first, last) = row
      start, end = puppet.points[joints[start]], puppet.points[joints[end]]
      radii = np.multiply(radii, unit * style.girth)
      layers = [(_taper(start, end, radii, 1.0), style.skin)]
      covered = (getattr(style, length) - first) / (last - first)
      if covered > 0:
        cloth = _taper(start, end, 1.1 * radii, min(covered, 1.0))
        layers.append((cloth, getattr(style, garment)))
      nearness = (start[2] + end[2]) / 2 / unit + before
      limbs.append((nearness, limb))
      yield nearness, f'{side} {limb}', layers
    for joint, radius in PADS.items():
      pad = [(*puppet.points[joints[joint], :2], radius * unit * style.girth)]
      over = max(n for n, limb in limbs if joint in LIMBS[limb][:2])
      yield over + 0.01, f'{side} {joint} pad', [(pad, style.pads[joint])]


def _taper(start, end, radii, length: float) -> list:
  """Returns the circles at a limb's start and at a fraction of its length."""
  stop, radius = start + length * (end - start), radii @ [1 - length, length]
  return [(*start[:2], radii[0]), (*stop[:2], radius)]


def _stool(puppet: Puppet) -> list:
  points, unit = puppet.points, puppet.head_size
  x, top = points[PELVIS, :2] + [0, 0.35 * unit]
  feet = points[[RIGHT['ankle'], LEFT['ankle']], 1].mean()
  bottom = max(top, feet - 0.2 * unit)
  corners = [(dx * unit, y) for dx in (-0.75, 0.75) for y in (top, bottom)]
  return [(x + dx, y, 0.08 * unit) for dx, y in corners]


def _torso(puppet: Puppet) -> Iterator[tuple[float, str, list[Layer]]]:
  style, unit = puppet.style, puppet.head_size
  flat, depths = puppet.points[:, :2], puppet.points[:, 2] / unit
  pelvis, thorax, neck = flat[[PELVIS, THORAX, NECK]]
  shoulders = flat[[RIGHT['shoulder'], LEFT['shoulder']]]
  hips = flat[[RIGHT['hip'], LEFT['hip']]]
  # The waist is narrower than the hips, a quarter of the way to the thorax.
  waist = pelvis + 0.85 * (hips - pelvis) + 0.25 * (thorax - pelvis)
  chest = thorax + 0.92 * (shoulders - thorax)

  def circles(centers, radius):
    return [(*center, radius * unit * style.girth) for center in centers]

  shape = circles(hips, 0.38) + circles(waist, 0.32)
  yield depths[PELVIS] + 0.02, 'hips', [(shape, style.trousers)]

  middle = (depths[PELVIS] + depths[THORAX]) / 2
  chin = neck + 0.2 * (flat[HEAD_TOP] - neck)
  yield middle + 0.04, 'neck', [(circles([thorax, chin], 0.19), style.skin)]

  layers = [(circles(chest, 0.27) + circles(waist, 0.35), style.shirt)]
  rows = np.linspace(chest, waist, 9)  # 9 levels, 2 sides, x and y
  if style.print == 'stripes':
    layers += [(circles(row, 0.07), style.pattern) for row in rows[3::2]]
  if style.print == 'badge':
    layers.append((circles([rows[4].mean(axis=0)], 0.3), style.pattern))
  collar = thorax + 0.2 * (chest - thorax)
  throat = thorax + 0.15 * (pelvis - thorax)
  layers.append((circles([*collar, throat], 0.1), style.skin))
  yield middle + 0.05, 'chest', layers


def _head(puppet: Puppet) -> Iterator[tuple[float, str, list[Layer]]]:
  style, unit = puppet.style, puppet.head_size
  neck, top = puppet.points[[NECK, HEAD_TOP], :2]
  up = (top - neck) / HEAD
  across = np.array([-up[1], up[0]])

  def circles(*placed):
    """Makes circles of (across, up from the neck, radius)."""
    return [(*(neck + x * across + y * up), r * unit) for x, y, r in placed]

  nearness = puppet.points[[PELVIS, THORAX], 2].mean() / unit
  gaze = 0.3 * puppet.gaze
  if style.cut == 'long':
    back = circles((0, 0.82, 0.55), (-0.32, 0.05, 0.22), (0.32, 0.05, 0.22))
    yield nearness - 0.6, 'hair', [(back, style.hair)]
  shade = tuple(0.75 * tone for tone in style.skin)
  lips = (gaze - 0.09, 0.4, 0.05), (gaze + 0.09, 0.4, 0.05)
  layers = [
    (circles((gaze / 3 - 0.46, 0.68, 0.1)), style.skin),  # ears
    (circles((gaze / 3 + 0.46, 0.68, 0.1)), style.skin),
    (circles((0, 0.86, 0.49), (gaze / 3, 0.42, 0.3)), style.skin),
    (circles(*lips), (170, 60, 65)),
    (circles((1.3 * gaze, 0.56, 0.06), (1.1 * gaze, 0.66, 0.04)), shade),
  ]
  for x in (gaze - 0.18, gaze + 0.18):
    layers.append((circles((x, 0.74, 0.1)), (245, 245, 245)))
    layers.append((circles((x + gaze / 8, 0.73, 0.055)), (25, 20, 25)))
  if style.cut == 'hat':
    crown = (-0.2, 1.06, 0.29), (0.2, 1.06, 0.29)
    brim = (gaze - 0.5, 0.94, 0.07), (gaze + 0.5, 0.94, 0.07)
    layers += [(circles(*shape), style.pattern) for shape in (crown, brim)]
  if style.cut in ('short', 'long'):
    x = -0.3 * gaze
    fringe = (x - 0.24, 1.05, 0.25), (x, 1.08, 0.26), (x + 0.24, 1.05, 0.25)
    layers.append((circles(*fringe), style.hair))
  if style.cut == 'long':
    for x in (-0.44, 0.44):
      layers.append((circles((x, 0.95, 0.13), (x, 0.35, 0.12)), style.hair))
  yield nearness + 0.06, 'head', layers
