"""Exchanges weights with pytorch_stacked_hourglass (PORT).

  python -m hg_jax.convert checkpoint.pt --output=DIR
  python -m hg_jax.convert RUN --to_torch --output=checkpoint.pt

The first writes a run for `main --mode=evaluate`, `predict` and `export`; the
second writes a checkpoint that PORT loads. Weights are copied to the bit both
ways, except two kinds that the network never uses: the skip convolutions of
PORT's identity residuals, and the batch counts of its BatchNorms (SPEC 1.1,
1.2). From PORT these are dropped; to PORT they are zeros.
"""

import io
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from flax.traverse_util import flatten_dict, unflatten_dict

from hg_jax.annotations import mpii
from hg_jax.base import config, files
from hg_jax.base.command import run
from hg_jax.base.errors import UserError, system_errors
from hg_jax.evaluation import inference
from hg_jax.model.hourglass import INPUT_MULTIPLE, StackedHourglass
from hg_jax.run import bundle, checkpoint, run_config, torch_file

FLAGS = flags.FLAGS

# Our names of modules, as regular expressions, and PORT's; each one that
# matches is replaced, in this order.
_MODULES = (
  (r'^stem\.conv$', 'pre.0.conv'),
  (r'^stem\.norm$', 'pre.0.bn'),
  (r'^stem\.residual1', 'pre.1'),
  (r'^stem\.residual2', 'pre.3'),
  (r'^stem\.residual3', 'pre.4'),
  (r'^stack(\d+)\.hourglass', r'hgs.\1.0'),
  (r'^stack(\d+)\.residual', r'features.\1.0'),
  (r'^stack(\d+)\.conv$', r'features.\1.1.conv'),
  (r'^stack(\d+)\.norm$', r'features.\1.1.bn'),
  (r'^stack(\d+)\.heatmaps$', r'outs.\1.conv'),
  (r'^stack(\d+)\.remap_features$', r'merge_features.\1.conv.conv'),
  (r'^stack(\d+)\.remap_heatmaps$', r'merge_preds.\1.conv.conv'),
  (r'\.norm(\d)$', r'.bn\1'),
  (r'\.conv(\d)$', r'.conv\1.conv'),
  (r'\.skip$', '.skip_layer.conv'),
)
_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# What PORT has and never uses. The skips that it uses are among the expected.
_UNUSED = re.compile(r'\.(skip_layer\.conv\.\w+|bn\d?\.num_batches_tracked)$')

_PREFIX = 'model.module.'  # PORT's trainer and DataParallel begin names so

_OTHER = 'this is not a network of pytorch_stacked_hourglass:'
# Their shapes give the number of features and of joints.
_FIRST = 'pre.0.conv.weight'
_LAST_OF_STEM = 'pre.4.conv3.conv.weight'
_HEAD = 'outs.0.conv.weight'
_FEATURES = 256  # where PORT's stem, of fixed widths, is as wide as ours


def from_torch(
  state_dict: dict[str, np.ndarray],
) -> dict[str, Any]:  # {'params', 'batch_stats'}
  """Returns the variables of a network from PORT's state_dict.

  Numbers of stacks, features and joints are the state_dict's own; its names
  may share a prefix, such as DataParallel's 'model.module.'.

  Raises:
    UserError: the network is another; names what is missing or unexpected.
  """
  weights = _without_prefix(state_dict)
  if any(np.ndim(weights.get(name)) != 4 for name in (_LAST_OF_STEM, _HEAD)):
    raise UserError(f'{_OTHER} missing {_LAST_OF_STEM} or {_HEAD}')
  features = len(weights[_LAST_OF_STEM])
  first = weights.get(_FIRST)
  if np.shape(first)[:1] == (64,) and features != _FEATURES:
    raise UserError(_other_stem(features))
  expected = _expected(weights)
  missing = expected.keys() - weights.keys()
  unexpected = {
    name for name in weights.keys() - expected if not _UNUSED.search(name)
  }
  if missing or unexpected:
    raise UserError(
      f'{_OTHER} missing {_few(missing)}; unexpected {_few(unexpected)}'
    )
  variables = {}
  for name, (path, shape) in expected.items():
    value = np.asarray(weights[name])
    if value.shape != shape:
      raise UserError(f'{_OTHER} {name} is {value.shape}, should be {shape}')
    # OIHW to HWIO
    variables[path] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
  return unflatten_dict(variables)


def _other_stem(features: int) -> str:
  return (
    f'this network has {features} features, and only those of {_FEATURES} can '
    'be exchanged: the stem of pytorch_stacked_hourglass has the same widths '
    'for any number of features, ours scales with it'
  )


def _without_prefix(state_dict):
  for name in state_dict:
    if name == _HEAD or name.endswith(f'.{_HEAD}'):
      prefix = name.removesuffix(_HEAD)
      return {key.removeprefix(prefix): state_dict[key] for key in state_dict}
  raise UserError(f'{_OTHER} missing {_HEAD}; unexpected {_few(state_dict)}')


def _expected(weights):
  """Maps PORT's name of each used array to our path and PORT's shape."""
  model = StackedHourglass(
    stacks=sum(bool(re.match(r'outs\.\d+\.conv\.weight$', n)) for n in weights),
    joints=len(weights[_HEAD]),
    features=len(weights[_LAST_OF_STEM]),
  )
  image = jax.ShapeDtypeStruct(
    (1, INPUT_MULTIPLE, INPUT_MULTIPLE, 3), np.float32
  )
  init = partial(model.init, train=False)
  variables = jax.eval_shape(init, jax.random.key(0), image)
  expected = {}
  for path, leaf in flatten_dict(variables).items():
    shape = leaf.shape
    if len(shape) == 4:
      height, width, inputs, outputs = shape
      shape = (outputs, inputs, height, width)
    expected[_torch_name(path)] = (path, shape)
  return expected


def _few(names):
  first, *others = sorted(names) or ['nothing']
  return f'{first} and {len(others)} more' if others else first


def to_torch(variables: dict[str, Any]) -> dict[str, np.ndarray]:
  """Returns PORT's state_dict, without a prefix, of a network's variables.

  It is complete, so PORT loads it with strict=True; arrays that the network
  never uses are zeros.
  """
  state_dict = {}
  for path, value in flatten_dict(variables).items():
    value = np.asarray(value)
    # HWIO to OIHW
    value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
    state_dict[_torch_name(path)] = value
  for name, value in list(state_dict.items()):
    module, _, leaf = name.rpartition('.')
    if leaf == 'running_mean':
      state_dict[f'{module}.num_batches_tracked'] = np.zeros((), np.int64)
    if name.endswith('.conv3.conv.weight'):  # the last one of a residual
      skip = module.removesuffix('conv3.conv') + 'skip_layer.conv'
      size, dtype = len(value), value.dtype
      state_dict.setdefault(
        f'{skip}.weight', np.zeros((size, size, 1, 1), dtype)
      )
      state_dict.setdefault(f'{skip}.bias', np.zeros(size, dtype))
  return state_dict


def _torch_name(path: tuple[str, ...]) -> str:
  _, *modules, leaf = path  # the first is 'params' or 'batch_stats'
  name = '.'.join(modules)
  for ours, theirs in _MODULES:
    name = re.sub(ours, theirs, name)
  return f'{name}.{_LEAVES[leaf]}'


def convert(path: Path, output: Path) -> None:
  """Writes the checkpoint `path` as the run `output`.

  Raises:
    UserError: it cannot be read, or is of another network, or the folder is
      not empty.
  """
  state_dict = torch_file.read(path, _HEAD)
  try:
    variables = from_torch(state_dict)
  except UserError as error:
    raise UserError(f'{path}: {error}') from error
  stacks = sum(name.startswith('stack') for name in variables['params'])
  head = variables['params']['stack0']['heatmaps']['kernel']
  *_, features, joints = head.shape
  if joints != len(mpii.SKELETON.joints):
    raise UserError(
      f'{path} has {joints} joints, MPII {len(mpii.SKELETON.joints)}'
    )
  settings = config.Config(model=config.Model(stacks=stacks, features=features))
  checkpoint.save_weights(output, settings, mpii.SKELETON, variables)
  print(f'{output}: from {path}; stacks {stacks}, features {features}')


def convert_back(workdir: Path, output: Path, which: str) -> None:
  """Writes a checkpoint of the run `workdir` as PORT saves its own.

  Args:
    workdir: the run's folder.
    output: the file to write.
    which: 'best', 'latest' or a step.

  Raises:
    UserError: there is no such run or checkpoint, PyTorch is not installed,
      or the file exists already or cannot be written.
  """
  torch = torch_file.import_torch(f'writing {output}')
  if output.exists():
    raise UserError(f'{output} exists already; give another file.')
  settings = run_config.load(workdir)
  if settings.model.features != _FEATURES:
    raise UserError(f'{workdir}: {_other_stem(settings.model.features)}')
  step, variables = inference.load_variables(workdir, settings, which)
  state_dict = {
    _PREFIX + name: torch.from_numpy(np.array(value))
    for name, value in to_torch(variables).items()
  }
  buffer = io.BytesIO()
  torch.save({'state_dict': state_dict}, buffer)
  with system_errors(output):
    output.parent.mkdir(parents=True, exist_ok=True)
    files.write(output, buffer.getvalue())
  print(f'{output}: from {workdir}, step {step}')


def define_flags() -> None:
  flags.DEFINE_string(
    'output', None, 'The folder of the run, or the file, to write.'
  )
  flags.DEFINE_bool('to_torch', False, 'From a run to PyTorch, not to a run.')
  flags.DEFINE_string(
    'checkpoint', 'best', "Of the run: 'best', 'latest' or a step."
  )


def main(argv: list[str]) -> None:
  if len(argv) != 1 or not FLAGS.output:
    raise UserError(
      'say what to convert and where to write: '
      'python -m hg_jax.convert checkpoint.pt --output=DIR, or '
      'python -m hg_jax.convert RUN --to_torch --output=checkpoint.pt'
    )
  source, output = Path(argv[0]), Path(FLAGS.output)
  if FLAGS.to_torch:
    convert_back(bundle.folder_of(argv[0]), output, FLAGS.checkpoint)
  elif FLAGS['checkpoint'].present:
    raise UserError('--checkpoint is of a run, with --to_torch.')
  elif source.is_dir():
    raise UserError(
      f"{source} is a folder; give PyTorch's file, or --to_torch with a run."
    )
  else:
    convert(source, output)


if __name__ == '__main__':
  define_flags()
  run(main)
