import errno
import os
import signal
from pathlib import Path

# Before JAX is imported: the laws on devices need four, and one machine has
# one CPU.
os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=4'

import jax
import pytest

from hg_jax import prepare
from hg_jax.annotations.mpii import SKELETON
from hg_jax.base import config
from hg_jax.model import hourglass
from hg_jax.prediction.predictor import Predictor
from hg_jax.run import checkpoint


@pytest.fixture(scope='session')
def mpii_data() -> Path:
  """The development copy of MPII beside the repository; skips without it."""
  folder = Path(__file__).parents[2] / 'shared' / 'data' / 'mpii'
  if not folder.is_dir():
    pytest.skip('no shared/data/mpii beside the repository')
  return folder


@pytest.fixture(scope='session', autouse=True)
def compilation_cache(tmp_path_factory):
  """Compiles the same train step once, however many tests take it.

  With JAX_COMPILATION_CACHE_DIR set, also for the next run of the tests.
  """
  folder = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  folder = folder or tmp_path_factory.mktemp('compiled')
  jax.config.update('jax_compilation_cache_dir', str(folder))


@pytest.fixture(scope='session')
def prepared(tmp_path_factory) -> Path:
  """Records of 30 synthetic people, 24 to train and 6 to validate."""
  folder = tmp_path_factory.mktemp('data') / 'prepared'
  prepare.prepare_synthetic(folder, 30)
  return folder


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory) -> Path:
  """A run of one stack, 8 features and 64 px, its weights as they start."""
  workdir = tmp_path_factory.mktemp('tiny') / 'run'
  settings = config.Config(
    model=config.Model(stacks=1, features=8), data=config.Data(image_size=64)
  )
  model = hourglass.create_model(settings, joints=16)
  variables = hourglass.create_variables(model, 0, 64)
  checkpoint.save_weights(workdir, settings, SKELETON, variables)
  return workdir


@pytest.fixture(scope='session')
def tiny_predictor(tiny_run) -> Predictor:
  return Predictor(tiny_run, finder='none')


@pytest.fixture(scope='module')
def shallow():
  """Hourglasses that halve once, not four times, compile three times faster."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(hourglass, 'DEPTH', 1)
    yield


@pytest.fixture
def default_signals():
  """Handles signals as in the foreground: shells ignore some behind it."""
  defaults = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
  }
  before = {n: signal.signal(n, handler) for n, handler in defaults.items()}
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.fixture
def refuse_folder(monkeypatch):
  """A function that has no folder of this name be read, by root either."""
  scandir = os.scandir

  def refuse(name):
    def listed(path):
      if os.path.basename(path) == name:
        raise PermissionError(errno.EACCES, 'Permission denied', path)
      return scandir(path)

    monkeypatch.setattr(os, 'scandir', listed)

  return refuse
