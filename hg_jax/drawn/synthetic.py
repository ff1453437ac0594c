"""Draws people to train on, with annotations.

One to three puppets stand in front of clutter, partly hidden by things and by
each other. The annotations have the form of `mpii_annotations.json`. As in
MPII (SPEC 0.4), a person's head size is 25 px x scale, `objpos` is near the
mean of the joints, and the network's square is 10 head sizes wide, centered 15
px x scale below `objpos`. Occluded joints have a position and visibility 0.
Joints outside the picture are not labeled: (0, 0).
"""

import json
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from hg_jax.base.errors import UserError, system_errors
from hg_jax.drawn import painter, puppet

HEAD_SIZE = 25.0  # px, for a person of scale 1
HEIGHT = 200.0  # px, for a standing person of scale 1
PEOPLE_PER_IMAGE = (0.6, 0.3, 0.1)  # shares of images with 1, 2 and 3 people
VALIDATION = 5  # one image in 5 is for validation

# An empty matrix in the JSON of jsonlab, which wrote MPII's file.
_EMPTY = {
  '_ArrayType_': 'double',
  '_ArraySize_': [0, 0],
  '_ArrayData_': None,
}


def draw(directory: Path, people: int, seed: int) -> Path:
  """Draws pictures of exactly `people` people.

  Image k depends only on `seed` and k; the last may have fewer people. The
  `directory` gets `images/*.jpg` and, when all are drawn, `annotations.json`,
  whose path is returned.

  Raises:
    UserError: there are fewer than 10 people, so that a split could be empty,
      or `directory` cannot be written to.
  """
  if people < 10 or seed < 0:
    raise UserError(
      f'cannot draw {people} people with seed {seed}: at least 10 people, '
      'and a seed of 0 or more.'
    )
  images, annotations = directory / 'images', directory / 'annotations.json'
  persons = []
  with system_errors(directory):
    images.mkdir(parents=True, exist_ok=True)
    with tqdm(
      total=people, desc='drawing people', unit=' people', disable=None
    ) as progress:
      for index in range(people):
        rng = np.random.default_rng((seed, index))
        count = rng.choice([1, 2, 3], p=PEOPLE_PER_IMAGE)
        count = min(count, people - len(persons))
        picture, rows = _draw_image(rng, count)
        path = images / f'{index + 1:09d}.jpg'
        path.write_bytes(_to_jpeg(picture))
        persons += _to_mpii(rows, path.name, index, picture.shape)
        progress.update(len(rows))
        if len(persons) == people:
          break
    # Renamed when complete: the file exists only if all images do.
    partial = annotations.with_suffix('.partial')
    partial.write_text(json.dumps(persons))
    partial.replace(annotations)
  return annotations


def _draw_image(
  rng: np.random.Generator, count: int
) -> tuple[np.ndarray, list[dict]]:
  """Draws a picture, u8[H, W, 3], and each person's own fields."""
  width, height = int(rng.integers(480, 641)), int(rng.integers(360, 481))
  canvas = painter.Canvas(_backdrop(rng, width, height))
  _clutter(rng, canvas)
  # Larger people are nearer, and painted over the others.
  scales = np.sort(rng.uniform(0.5, 1.05, count) * height / HEIGHT).round(3)
  slots = (rng.permutation(count) + rng.uniform(0.3, 0.7, count)) / count
  cast = []
  for person in range(count):
    center = slots[person] * width, rng.uniform(0.42, 0.56) * height
    head_size = HEAD_SIZE * scales[person]
    cast.append(puppet.create(rng, center, head_size))
    painter.paint(canvas, cast[-1], person)
  for body in cast:
    if rng.uniform() < 0.3:
      _hide(rng, canvas, body)
  grain = rng.standard_normal((height, width, 1), np.float32)
  picture = canvas.image + rng.uniform(2, 9) * grain
  rows = [
    _annotate(rng, canvas, body, person, scales[person])
    for person, body in enumerate(cast)
  ]
  return picture.clip(0, 255).astype(np.uint8), rows


def _annotate(rng, canvas, body, person: int, scale: float) -> dict:
  labeled, visible = painter.seen(canvas, body, person)
  joints = np.append(body.points[:16, :2], visible[:, None], axis=1).round(3)
  middle = body.points[:16, :2].mean(axis=0)
  jitter = rng.normal(0, 0.3, 2) * body.head_size  # as wide as MPII's
  return {
    'objpos': (middle + jitter).round().tolist(),
    'joint_self': (joints * labeled[:, None]).tolist(),
    'scale_provided': float(scale),
  }


def _to_mpii(rows: list[dict], name: str, index: int, shape) -> list[dict]:
  """Adds the fields of the image and of the other people."""

  def squeezed(values):  # as in jsonlab: one person is not a list
    return (values if len(values) > 1 else values[0]) if values else _EMPTY

  persons = []
  for person, row in enumerate(rows):
    others = rows[:person] + rows[person + 1 :]
    persons.append(
      {
        'dataset': 'synthetic',
        'isValidation': float(index % VALIDATION == 1),
        'img_paths': name,
        'img_width': float(shape[1]),
        'img_height': float(shape[0]),
        'objpos': row['objpos'],
        'joint_self': row['joint_self'],
        'scale_provided': row['scale_provided'],
        'joint_others': squeezed([other['joint_self'] for other in others]),
        'scale_provided_other': squeezed(
          [other['scale_provided'] for other in others]
        ),
        'objpos_other': squeezed([other['objpos'] for other in others]),
        'annolist_index': float(index + 1),
        'people_index': float(person + 1),
        'numOtherPeople': float(len(others)),
      }
    )
  return persons


def _to_jpeg(picture: np.ndarray) -> bytes:
  quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
  return cv2.imencode('.jpg', picture[..., ::-1], quality)[1].tobytes()


def _backdrop(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
  """Draws a wall and a floor: pale gradients with soft stains."""
  horizon = int(rng.uniform(0.5, 0.9) * height)
  colors = [_faded(puppet.random_color(rng)) for _ in range(4)]
  ramps = [
    np.linspace(colors[0], colors[1], horizon),
    np.linspace(colors[2], colors[3], height - horizon),
  ]
  stains = rng.normal(0, 9, (height // 24, width // 24)).astype(np.float32)
  stains = cv2.resize(stains, (width, height), interpolation=cv2.INTER_CUBIC)
  picture = np.concatenate(ramps)[:, None] + stains[..., None]
  return picture.clip(0, 255).astype(np.uint8)


def _faded(color: puppet.Color) -> np.ndarray:
  """Returns the color halfway to gray, for scenery."""
  return 0.5 * np.array(color) + 0.5 * np.mean(color)


def _clutter(rng: np.random.Generator, canvas: painter.Canvas) -> None:
  """Paints balls, boxes and bars as thick as limbs, behind the people."""
  height, width = canvas.owner.shape
  for _ in range(rng.integers(5, 15)):
    place = rng.uniform((0, 0), (width, height))
    size = rng.uniform(0.02, 0.12) * height
    _thing(rng, canvas, place, size)


def _hide(
  rng: np.random.Generator, canvas: painter.Canvas, body: puppet.Puppet
) -> None:
  """Paints a thing over a random joint."""
  joint = body.points[rng.integers(16), :2]
  size = rng.uniform(0.25, 0.6) * body.head_size
  _thing(rng, canvas, joint + rng.normal(0, 0.5 * size, 2), size)


def _thing(rng, canvas, place, size: float) -> None:
  """Paints a ball, box or bar at `place`; `size` is its radius, px."""
  flesh = puppet.SKIN[rng.integers(len(puppet.SKIN))]
  color = flesh if rng.uniform() < 0.3 else _faded(puppet.random_color(rng))
  reach = size * rng.uniform(0.6, 1.6, 2)
  kind = rng.integers(3)
  if kind == 0:
    circles = [(*place, size)]
  elif kind == 1:
    circles = [
      (*(place + reach * (x, y)), 0.1 * size) for x in (-1, 1) for y in (-1, 1)
    ]
  else:
    angle = rng.uniform(0, np.pi)
    step = 2.5 * size * np.array([np.cos(angle), np.sin(angle)])
    radii = size * rng.uniform(0.25, 0.6, 2)
    circles = [(*(place - step), radii[0]), (*(place + step), radii[1])]
  canvas.fill(circles, color)
