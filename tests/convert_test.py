import argparse
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from hg_jax import convert
from hg_jax.base.errors import UserError
from hg_jax.media import images
from hg_jax.model import hourglass
from hg_jax.prediction.predictor import Predictor
from hg_jax.run import checkpoint, run_config

MODEL = hourglass.StackedHourglass(2, joints=16, features=8)


def random_variables(model=MODEL):
  variables = hourglass.create_variables(model, 0, 64)
  generator = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: generator.normal(size=leaf.shape).astype(np.float32),
    variables,
  )


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize('prefix', ['', 'module.', 'model.module.'])
def test_from_torch_inverts_to_torch_to_the_bit(prefix):
  variables = random_variables()
  state_dict = {
    prefix + name: value for name, value in convert.to_torch(variables).items()
  }
  assert_same(convert.from_torch(state_dict), variables)


def test_to_torch_has_the_names_and_shapes_of_port():
  # SPEC 1.2; of 256 features, as published.
  model = hourglass.StackedHourglass(2, joints=16)
  state_dict = convert.to_torch(hourglass.create_variables(model, 0, 64))
  bottom = 'hgs.1.0.low2.low2.low2.low2'
  expected = {
    'pre.0.conv.weight': (64, 3, 7, 7),
    'pre.0.bn.running_var': (64,),
    'pre.1.skip_layer.conv.weight': (128, 64, 1, 1),
    'pre.3.conv3.conv.weight': (128, 64, 1, 1),
    'pre.4.bn1.weight': (128,),
    'hgs.0.0.up1.conv2.conv.weight': (128, 128, 3, 3),
    f'{bottom}.bn2.running_mean': (128,),
    f'{bottom}.low3.conv1.conv.bias': None,  # the bottom is a residual
    'features.1.0.bn3.bias': (128,),
    'features.1.1.conv.weight': (256, 256, 1, 1),
    'features.1.1.bn.num_batches_tracked': (),
    'outs.1.conv.bias': (16,),
    'merge_features.0.conv.conv.weight': (256, 256, 1, 1),
    'merge_preds.0.conv.conv.weight': (256, 16, 1, 1),
    'merge_preds.1.conv.conv.weight': None,  # nothing follows the last stack
  }
  assert {
    name: np.shape(state_dict[name]) if name in state_dict else None
    for name in expected
  } == expected
  assert len(state_dict) == 742  # SPEC 1.1
  sizes = [
    np.size(value)
    for name, value in state_dict.items()
    if not name.endswith(('running_mean', 'running_var', 'tracked'))
  ]
  assert sum(sizes) == 8_429_088  # SPEC 1.1, with what is never used


def test_from_torch_drops_what_is_never_used():
  variables = random_variables()
  state_dict = convert.to_torch(variables)
  unused = {
    name
    for name in state_dict
    if 'skip_layer' in name and not name.startswith(('pre.1.', 'pre.4.'))
  }
  assert len(unused) == 29 * 2  # SPEC 1.1: 29 of 31 residuals
  for name in unused:
    assert not state_dict[name].any()
    state_dict[name] = state_dict[name] + 1
  assert_same(convert.from_torch(state_dict), variables)
  for name in unused:
    del state_dict[name]
  assert_same(convert.from_torch(state_dict), variables)


def test_to_torch_is_loaded_by_port():
  torch = pytest.importorskip('torch', reason='parity takes PyTorch')
  port = pytest.importorskip('port')
  network = port.PoseNet(2, features=8)
  state_dict = convert.to_torch(random_variables())
  network.load_state_dict(
    {name: torch.from_numpy(value.copy()) for name, value in state_dict.items()}
  )
  for name, value in network.state_dict().items():
    np.testing.assert_array_equal(value.numpy(), state_dict[name])


def without(state_dict, *names):
  return {n: value for n, value in state_dict.items() if n not in names}


@pytest.mark.parametrize(
  ('change', 'complaint'),
  [
    (lambda s: {}, 'missing outs.0.conv.weight; unexpected nothing'),
    (
      lambda s: {'module.conv1.weight': s['pre.0.conv.weight']},
      'unexpected module.conv1.weight',
    ),
    (lambda s: without(s, 'pre.4.conv3.conv.weight'), 'missing pre.4.conv3'),
    (
      lambda s: without(s, 'hgs.0.0.up1.bn2.bias', 'outs.1.conv.bias'),
      'missing hgs.0.0.up1.bn2.bias and 1 more; unexpected nothing',
    ),
    (
      lambda s: without(s, 'pre.1.skip_layer.conv.bias'),
      'missing pre.1.skip_layer.conv.bias;',
    ),
    (
      lambda s: s | {'fc.weight': np.zeros(3)},
      'missing nothing; unexpected fc.weight',
    ),
    (
      lambda s: s | {'hgs.1.0.low1.bn1.weight': np.zeros(5)},
      r'hgs.1.0.low1.bn1.weight is \(5,\), should be \(8,\)',
    ),
  ],
)
def test_from_torch_refuses_another_network(change, complaint):
  with pytest.raises(UserError, match=complaint):
    convert.from_torch(change(convert.to_torch(random_variables())))


@pytest.fixture
def torch():
  return pytest.importorskip('torch', reason='its files take PyTorch')


WRAPPERS = {
  'alone': lambda weights: weights,
  'state_dict': lambda weights: {
    'state_dict': weights, 'optimizer': {'state': {}}, 'epoch': 7,
  },
  'model': lambda weights: {
    'model': weights, 'args': argparse.Namespace(lr=1e-3, name='hg'),
  },
  'state': lambda weights: {
    'state': weights, 'best': np.float64(0.5), 'losses': np.arange(3.0),
  },
  'model_state_dict': lambda weights: {'model_state_dict': weights},
  'beside scalars': lambda weights: {**weights, 'epoch': 7, 'name': 'hg'},
  'deep': lambda weights: {'ckpt': {'nets': {'pose': weights}}},
}  # fmt: skip


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_convert_makes_a_run_of_a_checkpoint(torch, tmp_path, wrapper):
  variables = random_variables()
  saved = {
    f'model.module.{name}': torch.from_numpy(value.copy())
    for name, value in convert.to_torch(variables).items()
  }
  torch.save(WRAPPERS[wrapper](saved), tmp_path / 'checkpoint.pt')
  convert.convert(tmp_path / 'checkpoint.pt', tmp_path / 'run')

  config = run_config.load(tmp_path / 'run')
  assert (config.model.stacks, config.model.features) == (2, 8)
  checkpoints = checkpoint.Checkpoints(tmp_path / 'run')
  restored = checkpoints.restore_weights(
    checkpoints.best(), hourglass.create_variables(MODEL, 1, 64), ema=False
  )
  checkpoints.close()
  assert_same(restored, variables)


def test_convert_back_restores_the_checkpoint(torch, tmp_path):
  first, run, second = (tmp_path / name for name in ('1.pt', 'run', '2.pt'))
  published = hourglass.StackedHourglass(1, joints=16)
  saved = {
    f'model.module.{name}': torch.from_numpy(value.copy())
    for name, value in convert.to_torch(random_variables(published)).items()
  }
  torch.save({'state_dict': saved}, first)
  convert.convert(first, run)
  convert.convert_back(run, second, 'best')
  returned = torch.load(second, weights_only=True)['state_dict']
  assert returned.keys() == saved.keys()
  for name, value in saved.items():
    assert returned[name].dtype == value.dtype
    np.testing.assert_array_equal(returned[name].numpy(), value.numpy())
  with pytest.raises(UserError, match='2.pt exists already'):
    convert.convert_back(run, second, 'best')
  with pytest.raises(UserError, match='no checkpoint .7.; choose best'):
    convert.convert_back(run, tmp_path / '3.pt', '7')
  with pytest.raises(UserError, match='holds no run'):
    convert.convert_back(tmp_path, tmp_path / '3.pt', 'best')


def test_converted_checkpoint_finds_what_pytorch_finds(
  torch, mpii_data, tmp_path
):
  port = pytest.importorskip('port')
  torch.manual_seed(0)
  network = port.PoseNet(2, features=16).eval()
  for name, value in network.named_buffers():
    if 'running' in name:  # of any network that was trained
      value.uniform_(0.5, 1.5)
  torch.save(
    {
      'state_dict': {
        f'model.module.{name}': value
        for name, value in network.state_dict().items()
      }
    },
    tmp_path / 'checkpoint.pt',
  )
  convert.convert(tmp_path / 'checkpoint.pt', tmp_path / 'run')
  predictor = Predictor(tmp_path / 'run', flip_test=False)
  photos = sorted((mpii_data / 'images').glob('*.jpg'))[:3]
  people = []
  for photo in map(images.read, photos):
    box = (0, 0, photo.shape[1], photo.shape[0])
    people.append(predictor.look(photo, [box])[0][0])
  people = np.array(people)
  assert people.shape == (3, 256, 256, 3)
  with torch.no_grad():
    theirs = network(torch.from_numpy(people) / 255)[:, -1].numpy()
  _, _, ours = predictor.people(people)
  np.testing.assert_allclose(ours, theirs.transpose(0, 2, 3, 1), atol=1e-4)
  assert theirs.std() > 0.01  # It sees something.


def test_convert_refuses_other_widths(torch, tiny_run, tmp_path):
  # PORT's stem is 64, 128 and 128 channels wide whatever its `inp_dim`.
  with pytest.raises(UserError, match='run: this network has 8 features'):
    convert.convert_back(tiny_run, tmp_path / '1.pt', 'best')
  state_dict = convert.to_torch(random_variables())
  state_dict['pre.0.conv.weight'] = np.zeros((64, 3, 7, 7))
  with pytest.raises(UserError, match='this network has 8 features'):
    convert.from_torch(state_dict)


def test_load_refuses_what_is_no_checkpoint(torch, tmp_path):
  path = tmp_path / 'checkpoint.pt'
  output = tmp_path / 'run'
  with pytest.raises(UserError, match='checkpoint.pt: No such file'):
    convert.convert(path, output)
  for content in (
    b'', b'not a checkpoint', b'PK\x03\x04 cut short', b'hello', b'}\n',
    b'\x89HDF\r\n\x1a\n',
  ):  # fmt: skip
    path.write_bytes(content)
    with pytest.raises(UserError, match='checkpoint.pt is no file of PyTorch'):
      convert.convert(path, output)
  for saved in ([1, 2], {'epoch': 3}, {'state_dict': [torch.zeros(2)]}):
    torch.save(saved, path)
    with pytest.raises(UserError, match='checkpoint.pt holds no state_dict'):
      convert.convert(path, output)
  torch.save({'weight': torch.zeros(2)}, path)
  with pytest.raises(UserError, match='checkpoint.pt: .* unexpected weight'):
    convert.convert(path, output)
  assert not output.exists()


def test_pipe_that_nobody_writes_to_is_no_checkpoint(torch, tmp_path):
  os.mkfifo(tmp_path / 'pipe.pt')
  with pytest.raises(UserError, match='pipe.pt'):
    convert.convert(tmp_path / 'pipe.pt', tmp_path / 'run')


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['.'], 'is a folder; give'),
    (['a.pt', '--checkpoint=best'], '--checkpoint is of a run'),
    (['box', '--to_torch'], 'this network has 64 features'),
  ],
)
def test_mistaken_command_is_one_line(torch, arguments, message, tmp_path):
  output = f'--output={tmp_path / "output"}'
  result = subprocess.run(
    [sys.executable, '-m', 'hg_jax.convert', *arguments, output],
    cwd=Path(__file__).parents[1],
    capture_output=True,
    text=True,
  )
  assert result.returncode == 1 and result.stderr.count('\n') == 1
  assert result.stderr.startswith('error: ') and message in result.stderr


def test_command_needs_a_file_and_a_folder():
  result = subprocess.run(
    [sys.executable, '-m', 'hg_jax.convert', 'checkpoint.pt'],
    cwd=Path(__file__).parents[1],
    capture_output=True,
    text=True,
  )
  assert result.returncode == 1
  assert result.stderr.splitlines()[-1].startswith('error: say what to convert')


def test_missing_pytorch_is_named(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(UserError, match='pip install torch'):
    convert.convert(tmp_path / 'checkpoint.pt', tmp_path / 'run')
  with pytest.raises(UserError, match='pip install torch'):
    convert.convert_back(tmp_path / 'run', tmp_path / 'checkpoint.pt', 'best')
