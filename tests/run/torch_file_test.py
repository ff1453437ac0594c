"""Weights are read from PyTorch's files, and no code in them is run."""

from pathlib import Path

import numpy as np
import pytest

from hg_jax.base.errors import UserError
from hg_jax.run import torch_file

HEAD = 'outs.0.conv.weight'


@pytest.fixture
def torch():
  return pytest.importorskip('torch', reason='its files take PyTorch')


def test_read_says_why_a_file_is_not_read(torch, tmp_path):
  path = tmp_path / 'checkpoint.pt'
  weights = {HEAD: torch.zeros(16, 8, 1, 1)}
  torch.save(weights, path, pickle_protocol=4)
  with pytest.raises(UserError, match='Unsupported operand 149.*save the stat'):
    torch_file.read(path, HEAD)
  torch.jit.script(torch.nn.Linear(2, 2)).save(path)
  with pytest.raises(UserError, match='TorchScript.*; save the state_dict'):
    torch_file.read(path, HEAD)


def test_read_takes_parameters_that_are_trained(torch, tmp_path):
  saved = {HEAD: torch.nn.Parameter(torch.ones(16, 8, 1, 1))}
  saved['again'] = saved  # A dict within itself is looked into once.
  torch.save(saved, tmp_path / 'checkpoint.pt')
  (value,) = torch_file.read(tmp_path / 'checkpoint.pt', HEAD).values()
  np.testing.assert_array_equal(value, np.ones((16, 8, 1, 1)))


@pytest.mark.parametrize(
  'spoil',
  [
    lambda value: value * float('nan'),
    lambda value: value / 0,
    lambda value: value.to_sparse(),
    lambda value: value.to('meta'),
    lambda value: value * 1j,
  ],
)
def test_read_refuses_what_are_no_finite_numbers(torch, spoil, tmp_path):
  value = spoil(torch.ones(16, 8, 1, 1))
  torch.save({HEAD: value}, tmp_path / 'checkpoint.pt')
  with pytest.raises(UserError, match='conv.weight, which is not .* finite'):
    torch_file.read(tmp_path / 'checkpoint.pt', HEAD)


def test_read_names_the_object_that_could_run_code(torch, tmp_path):
  path = tmp_path / 'checkpoint.pt'
  ran = tmp_path / 'ran'

  class Attack:
    def __reduce__(self):
      return Path.touch, (ran,)

  for saved in ({'state_dict': {}, 'x': Attack()}, torch.nn.Linear(2, 2)):
    for zipped in (True, False):
      torch.save(saved, path, _use_new_zipfile_serialization=zipped)
      with pytest.raises(UserError, match='could run code; save the state_di'):
        torch_file.read(path, HEAD)
  assert not ran.exists()


def test_read_refuses_several_networks(torch, tmp_path):
  path = tmp_path / 'checkpoint.pt'
  weights = {HEAD: torch.zeros(16, 8, 1, 1)}
  torch.save({'model': weights, 'ema': {'module': weights}}, path)
  with pytest.raises(UserError, match='2 networks, ema.module, model'):
    torch_file.read(path, HEAD)
