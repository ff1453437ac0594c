"""Writes a run's network as one file, for use without hg_jax.

  python -m hg_jax.export --workdir=RUN --output=pose.stablehlo

The file is a function from crops, u8[B, S, S, 3] RGB, to joints, f32[B, K, 2]
px of the crop, and scores, f32[B, K]: it normalizes, runs the network (twice,
with the flip test) and decodes. B may be any number; CPU and CUDA run it:

  data = open('pose.stablehlo', 'rb').read()
  function = jax.export.deserialize(bytearray(data))
  joints, scores = function.call(crops)
"""

from functools import partial
from pathlib import Path

import jax
import jax.export
import numpy as np
from absl import flags

from hg_jax.base.command import run
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import inference
from hg_jax.model import hourglass
from hg_jax.run import checkpoint

FLAGS = flags.FLAGS

_PLATFORMS = ('cpu', 'cuda')


def define_flags() -> None:
  flags.DEFINE_string('workdir', None, 'The folder of the run.')
  flags.DEFINE_string(
    'checkpoint', 'best', "Of the run: 'best', 'latest' or a step."
  )
  flags.DEFINE_string('output', None, 'The file to write.')
  flags.DEFINE_bool(
    'flip_test', True, 'Average with the mirrored crop; takes twice as long.'
  )


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  for name in ('workdir', 'output'):
    if not FLAGS[name].value:
      raise UserError(f'--{name} is missing; see --help.')
  workdir, output = Path(FLAGS.workdir), Path(FLAGS.output)
  config = checkpoint.load_config(workdir)
  skeleton = checkpoint.load_skeleton(workdir)
  _, variables = inference.load_variables(workdir, config, FLAGS.checkpoint)
  data = serialize(config, variables, skeleton, flip_test=FLAGS.flip_test)
  try:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data)
  except OSError as error:
    raise UserError(f'cannot write {output}: {error.strerror}.') from error
  size = config.data.image_size
  print(
    f'Wrote {output}: crops u8[B, {size}, {size}, 3] -> joints, scores; '
    f'{len(data) / 1e6:.1f} MB.'
  )


def serialize(
  config: Config, variables: dict, skeleton: Skeleton, *, flip_test: bool
) -> bytes:
  """Serializes the weights and the function from crops to joints and scores."""
  model = hourglass.create_model(config, joints=len(skeleton.joints))
  flip = skeleton.flip if flip_test else None
  predict = partial(inference.predict, model, variables, flip=flip)
  (batch,) = jax.export.symbolic_shape('batch')
  size = config.data.image_size
  crops = jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)
  function = jax.jit(lambda crops: predict(crops)[:2])
  return bytes(
    jax.export.export(function, platforms=_PLATFORMS)(crops).serialize()
  )


if __name__ == '__main__':
  define_flags()
  run(main)
