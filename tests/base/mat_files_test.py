import subprocess
import sys

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from hg_jax.base import mat_files

VARIABLES = {
  'joints': np.arange(24.0).reshape(2, 3, 4),
  'complex': np.array([1 + 2j, 3.0]),
  'text': 'im0001.jpg',
  'flags': np.array([True, False]),
  'sparse': scipy.sparse.csc_matrix([[0, 1.5], [2, 0]]),
  'empty': np.zeros((0, 2)),
  'struct': {'image': {'name': 'a.jpg'}, 'people': [1, 'b', {'x': 3.5}]},
  'a_long_name': np.int8([1, 2, 3]),
}


@pytest.mark.parametrize('compressed', [False, True])
def test_read_gives_what_scipy_reads(tmp_path, compressed):
  path = tmp_path / 'a.mat'
  scipy.io.savemat(path, VARIABLES, do_compression=compressed)
  assert sorted(mat_files.names(path)) == sorted(VARIABLES)
  read = mat_files.read(path, list(VARIABLES), simplify_cells=True)
  assert read['struct']['image'] == {'name': 'a.jpg'}
  assert read['struct']['people'][1] == 'b'
  np.testing.assert_array_equal(read['joints'], VARIABLES['joints'])
  np.testing.assert_array_equal(read['complex'], VARIABLES['complex'])


# Out of process: scipy alone crashes at about 1 in 50 of these.
DAMAGE = """
import pathlib, random, sys
from hg_jax.base import mat_files
from hg_jax.base.unreadable import UNREADABLE
path = pathlib.Path(sys.argv[1])
content, refused = path.read_bytes(), 0
damaged = path.with_name('damaged.mat')
for seed in range(600):
  drawn, copy = random.Random(seed), bytearray(content)
  for _ in range(drawn.choice([1, 1, 4])):
    copy[drawn.randrange(len(copy))] = drawn.randrange(256)
  damaged.write_bytes(copy[:drawn.choice([None, None, len(copy) // 2])])
  try:
    mat_files.read(damaged, None, simplify_cells=True)
    mat_files.names(damaged)
  except UNREADABLE:
    refused += 1
print(refused)
"""


def test_read_refuses_damage_and_never_crashes(tmp_path):
  path = tmp_path / 'a.mat'
  scipy.io.savemat(path, VARIABLES)
  ended = subprocess.run(
    [sys.executable, '-c', DAMAGE, path], capture_output=True, text=True
  )
  assert ended.returncode == 0, ended.stderr
  assert int(ended.stdout) > 150


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'level 5'),
    (b'text', 'level 5'),
    (bytes(124) + b'\0\2IM', 'v7.3; save it with -v7'),
  ],
)
def test_read_refuses_files_of_other_kinds(tmp_path, content, message):
  path = tmp_path / 'a.mat'
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message):
    mat_files.read(path, ['a'])
