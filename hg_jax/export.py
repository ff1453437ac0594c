"""Writes a run's network for use without the run, or without hg_jax.

  python -m hg_jax.export --workdir=RUN --output=pose.stablehlo
      [--format=stablehlo|tflite|weights]

weights     A folder of weights.npz and config.json, to give to others: all
            commands take it as --workdir.

Of the other formats the file is a function from crops, u8[B, S, S, 3] RGB, to
joints, f32[B, K, 2] px of the crop, and scores, f32[B, K]: it normalizes, runs
the network (twice, with the flip test) and decodes.

stablehlo   B may be any number; CPU and CUDA run it, with nothing but jax:

  data = open('pose.stablehlo', 'rb').read()
  function = jax.export.deserialize(bytearray(data))
  joints, scores = function.call(crops)
  names = json.loads(function.fun_name)['joints']

tflite      B is 1; for LiteRT on phones. The file is a ZIP archive, too, whose
            joints.txt has the names, as TensorFlow Lite's metadata are stored
"""

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.export
import numpy as np
from absl import flags

from hg_jax.base import files
from hg_jax.base.command import run
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.evaluation import inference
from hg_jax.model import hourglass
from hg_jax.run import bundle, run_config

FLAGS = flags.FLAGS

_PLATFORMS = ('cpu', 'cuda')


def define_flags() -> None:
  flags.DEFINE_string(
    'workdir', None, "The folder of the run, or 'box': see predict."
  )
  flags.DEFINE_string(
    'checkpoint', 'best', "Of the run: 'best', 'latest' or a step."
  )
  flags.DEFINE_string('output', None, 'The file or, of weights, the folder.')
  flags.DEFINE_enum(
    'format',
    'stablehlo',
    [*_FORMATS, 'weights'],
    'A file for JAX or for phones, or the weights for hg_jax.',
  )
  flags.DEFINE_bool(
    'flip_test', True, 'Average with the mirrored crop; takes twice as long.'
  )


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  for name in ('workdir', 'output'):
    if not FLAGS[name].value:
      raise UserError(f'--{name} is missing; see --help.')
  workdir, output = bundle.folder_of(FLAGS.workdir), Path(FLAGS.output)
  config = run_config.load(workdir)
  skeleton = run_config.load_skeleton(workdir)
  _, variables = inference.load_variables(workdir, config, FLAGS.checkpoint)
  if FLAGS.format == 'weights':
    path = bundle.save(output, config, skeleton, variables)
    print(f'Wrote {path}; {path.stat().st_size / 1e6:.1f} MB.')
    return
  serialize = _FORMATS[FLAGS.format]
  data = serialize(config, variables, skeleton, flip_test=FLAGS.flip_test)
  with system_errors(output):
    output.parent.mkdir(parents=True, exist_ok=True)
    files.write(output, data)
  size = config.data.image_size
  print(
    f'Wrote {output}: crops u8[B, {size}, {size}, 3] -> joints, scores; '
    f'{len(data) / 1e6:.1f} MB.'
  )


def to_stablehlo(
  config: Config, variables: dict, skeleton: Skeleton, *, flip_test: bool
) -> bytes:
  """Serializes the weights and the function from crops to joints and scores."""
  find = _function(config, variables, skeleton, flip_test=flip_test)
  (batch,) = jax.export.symbolic_shape('batch')
  size = config.data.image_size
  crops = jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)
  exported = jax.export.export(jax.jit(find), platforms=_PLATFORMS)(crops)
  names = json.dumps({'joints': skeleton.joints})
  return bytes(dataclasses.replace(exported, fun_name=names).serialize())


def to_tflite(
  config: Config, variables: dict, skeleton: Skeleton, *, flip_test: bool
) -> bytes:
  """Converts the function of one crop to TensorFlow Lite.

  Raises:
    UserError: this version of JAX has no converter, or the input is too small.
  """
  import tensorflow as tf

  size = config.data.image_size
  if size < 128:
    # Its lowest features are of one pixel, on which the converter fails.
    raise UserError(
      f'TensorFlow Lite takes inputs of 128 px or more, not {size}.'
    )

  try:
    from jax.experimental import jax2tf
  except ImportError as error:
    raise UserError(
      f'jax {jax.__version__} has no jax2tf, which tflite needs.'
    ) from error
  find = tf.function(
    jax2tf.convert(_function(config, variables, skeleton, flip_test=flip_test)),
    input_signature=[tf.TensorSpec((1, size, size, 3), tf.uint8, 'crop')],
    autograph=False,
  )
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
    [find.get_concrete_function()]
  )
  file = io.BytesIO(converter.convert())
  with zipfile.ZipFile(file, 'a') as archive:
    archive.writestr('joints.txt', '\n'.join(skeleton.joints) + '\n')
  return file.getvalue()


def _function(
  config: Config, variables: dict, skeleton: Skeleton, *, flip_test: bool
) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
  """Returns the function from crops to joints and scores."""
  model = hourglass.create_model(config, joints=len(skeleton.joints))
  flip = skeleton.flip if flip_test else None
  predict = partial(
    inference.predict,
    model,
    variables,
    flip=flip,
    decoding=config.evaluate.decoding,
  )
  return lambda crops: predict(crops)[:2]


_FORMATS = {'stablehlo': to_stablehlo, 'tflite': to_tflite}


if __name__ == '__main__':
  define_flags()
  run(main)
