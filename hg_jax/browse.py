"""Shows what the network is fed.

  python -m hg_jax.browse --config=configs/adam16.py --output=DIR
      [--step=0] [--people=12] [--config.augment.rotation=45 ...]

inputs.png         people as prepared, as the network sees them at a training
                   step, and their target heatmaps
augmentation.png   distributions of the first epoch's rotations, scales, colors

The person's right is orange and the left is blue.
"""

from pathlib import Path

import cv2
import numpy as np
from absl import flags

from hg_jax.base.command import define_config, given_config, run
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.input import augmentation, datasets, examples
from hg_jax.input.augmentation import Augmentation
from hg_jax.input.examples import Examples
from hg_jax.input.records import Crops
from hg_jax.model.heatmaps import STRIDE
from hg_jax.pictures import figures, plots
from hg_jax.pictures.crops import annotated_crop

FLAGS = flags.FLAGS

_PANEL = 384  # px; `figures.annotated` enlarges to at least this


def define_flags() -> None:
  define_config('A file under configs/; --config.x=y changes a setting.')
  flags.DEFINE_string('output', None, 'Folder for the pictures.')
  bounds = {'lower_bound': 0, 'upper_bound': 2**31 - 1}
  flags.DEFINE_integer('step', 0, 'The training step to show.', **bounds)
  # More people make a picture that few programs open.
  bounds = {'lower_bound': 1, 'upper_bound': 200}
  flags.DEFINE_integer('people', 12, 'How many to show.', **bounds)


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(
      f'unexpected argument {argv[0]!r}; settings are --config.x=y.'
    )
  config = given_config()
  if not config or not FLAGS.output:
    missing = 'output' if config else 'config'
    raise UserError(f'--{missing} is missing; see --help.')
  for path in browse(
    config, Path(FLAGS.output), step=FLAGS.step, people=FLAGS.people
  ):
    print(f'Wrote {path}')


def browse(
  config: Config, output: Path, *, step: int, people: int
) -> list[Path]:
  """Writes the pictures into `output`; returns their paths.

  Raises:
    UserError: nothing is prepared, or `output` cannot be written.
  """
  from hg_jax.input import input_pipeline  # TensorFlow

  crops = datasets.read_training(config)
  examples.check_margin(crops, config)
  which = {'first': step * config.batch_size, 'count': people}
  drawn = examples.training(crops, config, **which)
  changes = augmentation.sample(config.augment, seed=config.seed, **which)
  batch = input_pipeline.make_batch(crops, drawn, config)
  rows = [
    figures.sheet(
      [
        annotated_crop(crops, drawn.row[i], _PANEL),
        _input(batch['image'][i], drawn, i, crops.skeleton),
        _targets(batch['image'][i], batch['heatmaps'][i], crops.skeleton),
      ],
      columns=3,
      title=_describe(crops, drawn.row[i], changes, i),
    )
    for i in range(people)
  ]
  inputs = output / 'inputs.png'
  page = figures.sheet(
    rows,
    columns=2,
    title=f'Step {step}: as prepared, as seen, and the targets. Colors: '
    'saturation, brightness, contrast',
    legend={f"person's {side}": color for side, color in figures.SIDES.items()},
  )
  figures.write(inputs, page)
  distributions = output / 'augmentation.png'
  with system_errors(distributions):
    plots.save(_distributions(config, len(crops)), distributions)
  return [inputs, distributions]


def _input(
  image: np.ndarray, drawn: Examples, i: int, skeleton: Skeleton
) -> np.ndarray:
  """Draws the joints of the heatmaps onto the network's input."""
  seen = figures.annotated(
    image, drawn.joints[i] * STRIDE, drawn.labeled[i], skeleton
  )
  return cv2.resize(seen, (_PANEL, _PANEL), interpolation=cv2.INTER_AREA)


def _targets(
  image: np.ndarray,  # u8[S, S, 3]
  heatmaps: np.ndarray,  # f32[H, H, K]
  skeleton: Skeleton,
) -> np.ndarray:  # u8[_PANEL, _PANEL, 3]
  """Draws the heatmaps over the input, the highest in its side's color."""
  sides = [skeleton.side(k) for k in range(heatmaps.shape[-1])]
  colors = np.array([figures.SIDES[side] for side in sides], np.float32)
  glow = heatmaps.max(-1, keepdims=True) * colors[heatmaps.argmax(-1)]
  size = (_PANEL, _PANEL)
  glow = cv2.resize(glow, size, interpolation=cv2.INTER_NEAREST)
  gray = cv2.resize(image.mean(-1), size)[..., None]
  return np.clip(0.4 * gray + glow, 0, 255).astype(np.uint8)


def _describe(crops: Crops, row: int, changes: Augmentation, i: int) -> str:
  return (
    f'{crops.people.image[row]} person {crops.people.person_index[row]}   '
    f'{changes.rotation[i]:+.0f} degrees  x {changes.scale[i]:.2f}'
    f'{"  MIRRORED" if changes.flip[i] else ""}   color '
    f'{changes.saturation[i]:.2f} {changes.brightness[i]:+.2f} '
    f'{changes.contrast[i]:.2f}'
  )


def _distributions(config: Config, people: int):
  changes = augmentation.sample(
    config.augment, seed=config.seed, first=0, count=people
  )
  return plots.histograms(
    {
      'rotation, degrees counter-clockwise': changes.rotation,
      "scale, factor on the person's square": changes.scale,
      'saturation, factor': changes.saturation,
      'brightness, fraction of white added': changes.brightness,
      'contrast, factor': changes.contrast,
      'mirrored, 1 if so': changes.flip.astype(float),
    },
    title=f'What is drawn for the {people:,} examples of the first epoch',
  )


if __name__ == '__main__':
  define_flags()
  run(main)
