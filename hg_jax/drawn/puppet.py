"""Creates puppets: articulated, clothed figures to draw people with.

A puppet has a pose, a set of points of which the first 16 are MPII's joints,
and a style, the colors and cut of its clothes. It is posed in three dimensions
by joint angles within human limits, so limbs are foreshortened and hide each
other as in photos.

For a small network to learn them in minutes, puppets wear skaters' pads with a
hue for each joint, `PADS`, and clothes of paler colors. Puppets face the
viewer, within `YAW` degrees, so their right is on the picture's left. Left and
right pads look alike: training mirrors pictures and exchanges the labels, so
colors cannot mark a side. The mirror image of a puppet (`mirror`) is another
puppet that is equally likely.

Lengths are in head sizes, 0.6 of the diagonal of MPII's head box, until
`create` scales them. Axes: x to the picture's right, y down, z to the viewer.
"""

import dataclasses

import cv2
import numpy as np

RIGHT = {
    'ankle': 0, 'knee': 1, 'hip': 2, 'wrist': 10, 'elbow': 11, 'shoulder': 12,
    'hand': 16, 'toe': 18,
}  # fmt: skip
LEFT = {
    'ankle': 5, 'knee': 4, 'hip': 3, 'wrist': 15, 'elbow': 14, 'shoulder': 13,
    'hand': 17, 'toe': 19,
}  # fmt: skip
PELVIS, THORAX, NECK, HEAD_TOP = 6, 7, 8, 9
SIDES = {'r': RIGHT, 'l': LEFT}
# The index of each point's mirror image.
FLIP = np.arange(20)
for _name in RIGHT:
  FLIP[RIGHT[_name]], FLIP[LEFT[_name]] = LEFT[_name], RIGHT[_name]

YAW = 30.0  # degrees that a body may turn away from the viewer

# Lengths in head sizes. A standing puppet is about 8 tall: in MPII a person is
# 200 px x scale tall, and a head size 25 px x scale. From neck to head top it
# is 4 / 3: MPII's head box is 4 tall, 3 wide and 5 along the diagonal, and 0.6
# of the diagonal is the head size.
HEAD = 4 / 3
NECK_LENGTH, SPINE, SHOULDERS, HIPS = 0.3, 2.3, 1.6, 0.95
UPPER_ARM, FOREARM, HAND = 1.4, 1.15, 0.25
THIGH, SHIN, FOOT = 1.9, 1.85, 0.5

# Ranges of four angles in degrees: the limb is raised sideways, swung forward,
# twisted outward about its axis, and bent at the elbow or knee.
ARMS = {
  'hanging': ((4, 25), (-20, 20), (-30, 30), (5, 35)),
  'on hip': ((35, 50), (-15, 0), (-95, -75), (85, 105)),
  'waving': ((75, 110), (-10, 15), (65, 110), (30, 110)),
  'up': ((135, 172), (-10, 10), (-40, 40), (5, 50)),
  'out': ((65, 105), (-15, 15), (-40, 60), (5, 70)),
  'swinging': ((3, 12), (-45, 45), (-20, 10), (20, 80)),
  'across': ((12, 30), (5, 35), (-75, -40), (80, 115)),
  'behind head': ((120, 150), (-35, -20), (60, 95), (110, 140)),
}
LEGS = {
  'straight': ((1, 9), (-4, 6), (0, 25), (0, 8)),
  'astride': ((12, 32), (-4, 10), (5, 30), (0, 12)),
  'forward': ((0, 8), (15, 40), (0, 15), (5, 30)),
  'back': ((0, 8), (-25, -8), (0, 15), (10, 55)),
  'lifted': ((5, 25), (50, 85), (0, 25), (60, 110)),
  'tree': ((45, 60), (25, 45), (50, 70), (115, 130)),
  'kicking': ((45, 80), (5, 30), (10, 40), (0, 15)),
  'sitting': ((4, 22), (65, 85), (0, 15), (65, 95)),
  'squatting': ((20, 40), (70, 95), (10, 35), (105, 135)),
  'lunging': ((25, 40), (10, 30), (20, 50), (30, 60)),
}
# The poses of the two legs, and the share of puppets that have them.
STANCES = (
  ('straight', 'straight', 0.26),
  ('astride', 'astride', 0.18),
  ('forward', 'back', 0.16),
  ('straight', 'lifted', 0.06),
  ('straight', 'tree', 0.05),
  ('straight', 'kicking', 0.06),
  ('astride', 'lunging', 0.07),
  ('sitting', 'sitting', 0.10),
  ('squatting', 'squatting', 0.06),
)

# The hue of each joint's pads, in OpenCV's degrees, 0 to 180.
PADS = {'ankle': 120, 'knee': 90, 'wrist': 60, 'elbow': 150}
SKIN = ((255, 219, 190), (241, 194, 155), (224, 172, 125), (186, 128, 84),
        (141, 88, 55), (92, 58, 40))  # fmt: skip
HAIR = ((40, 30, 28), (78, 50, 32), (130, 82, 45), (205, 160, 90),
        (150, 60, 30), (170, 170, 172))  # fmt: skip


Color = tuple[float, float, float]  # red, green, blue, 0 to 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
  """The colors and clothes of a puppet."""

  skin: Color
  hair: Color
  shirt: Color
  pattern: Color
  trousers: Color
  shoes: Color
  pads: dict[str, Color]
  sleeves: float  # covered fraction of the arm
  legs: float  # fraction of the leg covered by trousers
  cut: str  # hair: 'short', 'long', 'bald' or 'hat'
  print: str  # shirt: 'plain', 'stripes' or 'badge'
  girth: float  # factor on every radius
  light: tuple[float, float]  # direction towards the light in the picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Puppet:
  """A posed and dressed figure in a picture.

  Attributes:
    points: f64[20, 3] px, in the coordinates of `affine`: MPII's 16 joints, the
      hands and the toes.
    head_size: px.
    gaze: how far the face is turned to the picture's right, -1 to 1.
    seated: whether to paint a stool.
  """

  points: np.ndarray
  head_size: float
  gaze: float
  seated: bool
  style: Style


def _turn(axis: int, degrees: float) -> np.ndarray:
  """Returns a rotation about axis 0 (y to z), 1 (z to x) or 2 (x to y)."""
  cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
  matrix = np.eye(3)
  a, b = (axis + 1) % 3, (axis + 2) % 3
  matrix[a, a] = matrix[b, b] = cosine
  matrix[b, a], matrix[a, b] = sine, -sine
  return matrix


def _limb(
  body: np.ndarray,
  angles: tuple[float, float, float, float],
  side: int,  # -1 for the right limb, on the picture's left; 1 for the left
  bends: int,  # 1 forward like elbows, -1 backward like knees
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the axes of an upper and a lower limb, which hang along y."""
  raised, swung, twisted, bent = angles
  upper = (
    body @ _turn(2, -side * raised) @ _turn(0, swung) @ _turn(1, side * twisted)
  )
  return upper, upper @ _turn(0, bends * bent)


def _pose(rng: np.random.Generator) -> tuple[np.ndarray, float, bool]:
  """Draws a pose: points in head sizes from the pelvis, gaze, seated."""
  yaw = rng.uniform(-YAW, YAW)
  # The view is from slightly above, so nearer things are lower.
  body = _turn(2, rng.normal(0, 5)) @ _turn(0, -rng.uniform(2, 16))
  body = body @ _turn(1, yaw)
  stances = np.array([stance[:2] for stance in STANCES])
  weights = [stance[2] for stance in STANCES]
  legs = rng.permutation(rng.choice(stances, p=weights))
  bowed = 15 if legs[0] == 'squatting' else 3
  torso = body @ _turn(2, rng.normal(0, 7)) @ _turn(0, -rng.normal(bowed, 5))

  down, across = np.eye(3)[1], np.eye(3)[0]
  lengths = rng.normal(1, 0.05, 4).clip(0.85, 1.15)
  points = np.zeros((20, 3))
  points[THORAX] = torso @ -down * SPINE * lengths[0]
  points[NECK] = points[THORAX] + torso @ -down * NECK_LENGTH
  # The head leans only in the picture's plane, so its size is not shortened.
  lean = _turn(2, rng.normal(0, 9)) @ (points[NECK] - points[THORAX])
  lean[2] = 0
  points[HEAD_TOP] = points[NECK] + HEAD * lean / np.linalg.norm(lean)
  for (side, joints), leg in zip(((-1, RIGHT), (1, LEFT)), legs, strict=True):
    shoulder = torso @ (side * across) * SHOULDERS / 2 * lengths[1]
    points[joints['shoulder']] = points[THORAX] + shoulder
    points[joints['hip']] = body @ (side * across) * HIPS / 2
    arm = ARMS[rng.choice(list(ARMS))]
    upper, lower = _limb(torso, rng.uniform(*np.transpose(arm)), side, 1)
    _chain(points, joints, ('shoulder', 'elbow', 'wrist', 'hand'), (
        upper @ down * UPPER_ARM * lengths[2],
        lower @ down * FOREARM * lengths[2],
        lower @ down * HAND,
    ))  # fmt: skip
    angles = rng.uniform(*np.transpose(LEGS[leg]))
    upper, lower = _limb(body, angles, side, -1)
    _chain(points, joints, ('hip', 'knee', 'ankle', 'toe'), (
        upper @ down * THIGH * lengths[3],
        lower @ down * SHIN * lengths[3],
        lower @ np.array([side * 0.15, 0.3, 0.9]) * FOOT,
    ))  # fmt: skip
  gaze = np.clip(np.sin(np.deg2rad(yaw)) + rng.normal(0, 0.15), -0.7, 0.7)
  return points, gaze, legs[0] == 'sitting'


def _chain(points, joints, names, steps):
  for start, end, step in zip(names[:-1], names[1:], steps, strict=True):
    points[joints[end]] = points[joints[start]] + step


def _style(rng: np.random.Generator) -> Style:
  return Style(
    skin=SKIN[rng.integers(len(SKIN))],
    hair=HAIR[rng.integers(len(HAIR))],
    shirt=random_color(rng),
    pattern=random_color(rng),
    trousers=random_color(rng),
    shoes=random_color(rng),
    pads={joint: _vivid_color(rng, hue) for joint, hue in PADS.items()},
    sleeves=rng.choice([0.0, 0.28, 1.0], p=[0.2, 0.45, 0.35]),
    legs=rng.choice([0.3, 0.42, 1.0], p=[0.25, 0.15, 0.6]),
    cut=rng.choice(['short', 'long', 'bald', 'hat'], p=[0.4, 0.35, 0.1, 0.15]),
    print=rng.choice(['plain', 'stripes', 'badge']),
    girth=rng.uniform(0.85, 1.15),
    light=(rng.uniform(-1, 1), rng.uniform(-1, -0.3)),
  )


def random_color(rng: np.random.Generator) -> Color:
  """Draws a color paler than the pads'."""
  return _rgb(rng.uniform(0, 180), rng.uniform(0, 140), rng.uniform(50, 255))


def _vivid_color(rng: np.random.Generator, hue: float) -> Color:
  return _rgb(
    hue + rng.uniform(-6, 6), rng.uniform(210, 255), rng.uniform(190, 255)
  )


def _rgb(hue: float, saturation: float, value: float) -> Color:
  pixel = np.array([[[hue, saturation, value]]], np.uint8)
  return tuple(cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].tolist())


def create(
  rng: np.random.Generator,
  center: tuple[float, float],
  head_size: float,
) -> Puppet:
  """Draws a random puppet; the mean of its joints is at `center`, px."""
  points, gaze, seated = _pose(rng)
  points = points * head_size
  points[:, :2] += np.asarray(center) - points[:16, :2].mean(axis=0)
  return Puppet(
    points=points,
    head_size=head_size,
    gaze=gaze,
    seated=seated,
    style=_style(rng),
  )


def mirror(puppet: Puppet, width: int) -> Puppet:
  """Returns the mirrored puppet of a picture `width` px wide."""
  points = puppet.points[FLIP] * [-1, 1, 1] + [width, 0, 0]
  x, y = puppet.style.light
  style = dataclasses.replace(puppet.style, light=(-x, y))
  return dataclasses.replace(
    puppet, points=points, gaze=-puppet.gaze, style=style
  )
