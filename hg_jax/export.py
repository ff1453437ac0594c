"""Writes a run's network as one file, for use without hg_jax.

  python -m hg_jax.export --workdir=RUN --output=pose.stablehlo

The file is a function from crops, u8[B, S, S, 3] RGB, to joints, f32[B, K, 2]
px of the crop, and scores, f32[B, K]: it normalizes, runs the network (twice,
with the flip test) and decodes. B is free, and it runs on a CPU or on CUDA:

  function = jax.export.deserialize(open('pose.stablehlo', 'rb').read())
  joints, scores = function.call(crops)

After writing, the file is loaded again and compared with the run.
"""

import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.export
import numpy as np
from absl import flags

from hg_jax.base.command import run
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.data import examples, images, mpii, records
from hg_jax.drawn import synthetic
from hg_jax.evaluation import inference
from hg_jax.model import hourglass
from hg_jax.run import checkpoint

FLAGS = flags.FLAGS

_PLATFORMS = ('cpu', 'cuda')
_COMPARED = 8  # people
# What rounding may do to joints, px of the crop, and to scores.
_TOLERANCE = 0.05, 1e-5


def define_flags() -> None:
  flags.DEFINE_string('workdir', None, 'The folder of the run.')
  flags.DEFINE_string(
    'checkpoint', 'best', "Of the run: 'best', 'latest' or a step."
  )
  flags.DEFINE_string('output', None, 'The file to write.')
  flags.DEFINE_bool(
    'flip_test', True, 'Average with the mirrored crop; takes twice as long.'
  )
  flags.DEFINE_string(
    'data_dir',
    None,
    "Prepared people to compare on; by default the run's, or, if there are "
    'none, a few that are drawn.',
  )


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  for name in ('workdir', 'output'):
    if not FLAGS[name].value:
      raise UserError(f'--{name} is missing; see --help.')
  workdir, output = Path(FLAGS.workdir), Path(FLAGS.output)
  config = checkpoint.load_config(workdir)
  _, variables = inference.load_variables(workdir, config, FLAGS.checkpoint)
  data_dir = Path(FLAGS.data_dir or config.data.dir)
  if FLAGS.data_dir or records.prepared(data_dir):
    crops, whose = prepared_people(config, data_dir), f'people of {data_dir}'
  else:
    crops, whose = drawn_people(config), 'people drawn for it'
  data = serialize(config, variables, flip_test=FLAGS.flip_test)
  try:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data)
  except OSError as error:
    raise UserError(f'cannot write {output}: {error.strerror}.') from error
  predictor = inference.Predictor(
    hourglass.create_model(config),
    variables,
    image_size=config.data.image_size,
    flip_test=FLAGS.flip_test,
  )
  joints, scores = compare(output, predictor, crops)
  print(
    f'{output}: u8[B, {crops.shape[1]}, {crops.shape[2]}, 3] -> joints, '
    f'scores; {output.stat().st_size / 1e6:.1f} MB; on {len(crops)} {whose} '
    f"its joints are within {joints:.2g} px of the run's, its scores within "
    f'{scores:.2g}'
  )


def serialize(config: Config, variables: dict, *, flip_test: bool) -> bytes:
  """The function from crops to joints and scores, with its weights."""
  model = hourglass.create_model(config)
  predict = partial(inference.predict, model, variables, flip_test=flip_test)
  (batch,) = jax.export.symbolic_shape('batch')
  size = config.data.image_size
  crops = jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)
  function = jax.jit(lambda crops: predict(crops)[:2])
  return bytes(
    jax.export.export(function, platforms=_PLATFORMS)(crops).serialize()
  )


def prepared_people(
  config: Config, data_dir: Path
) -> np.ndarray:  # u8[B, S, S, 3] RGB
  """A few validation people, as evaluation sees them.

  Raises:
    UserError: nothing is prepared there.
  """
  people = records.read(data_dir, 'valid')
  count = min(_COMPARED, len(people))
  chosen, _ = examples.evaluation(people, config, first=0, count=count)
  return np.array(
    [
      images.warp(people.decode(row), map_, config.data.image_size)
      for row, map_ in zip(chosen.row, chosen.crop_to_input, strict=True)
    ]
  )


def drawn_people(config: Config) -> np.ndarray:  # u8[B, S, S, 3] RGB
  """A few synthetic people."""
  with tempfile.TemporaryDirectory() as folder:
    # The fewest that can be drawn.
    annotations = synthetic.draw(Path(folder), 10, seed=0)
    people = mpii.load(annotations)['train'][:_COMPARED]
    return np.array(
      [
        images.input_of(
          images.read(annotations.parent / 'images' / people.image[row]),
          people.center[row],
          people.side[row],
          config.data.image_size,
        )[0]
        for row in range(len(people))
      ]
    )


def compare(
  path: Path,
  predictor: inference.Predictor,
  crops: np.ndarray,  # u8[B, S, S, 3] RGB
) -> tuple[float, float]:
  """The greatest differences of the file's joints, px, and scores.

  Raises:
    UserError: they are more than rounding; the file is deleted.
  """
  function = jax.export.deserialize(bytearray(path.read_bytes()))
  theirs = jax.device_get(function.call(crops))
  *ours, _ = predictor.people(crops)
  differences = tuple(
    float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)
  )
  # Also where they are not numbers.
  if not all(d <= t for d, t in zip(differences, _TOLERANCE, strict=True)):
    path.unlink()
    raise UserError(
      f'{path} is not what the run is, so it was deleted: joints differ by '
      f'{differences[0]:.3g} px, scores by {differences[1]:.3g}.'
    )
  return differences


if __name__ == '__main__':
  define_flags()
  run(main)
