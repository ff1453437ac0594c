"""Stacked Hourglass human pose estimation in JAX and Flax."""

import os
import sys

# TensorFlow reads them when it is imported, and would else tell at length how
# it was built and which of its operations are fast; we use only its tf.data.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

__all__ = ['Prediction', 'Predictor']


def _take_huge_pages() -> None:
  """Starts a command again with glibc's memory in pages of 2 MB.

  On a CPU every step takes hundreds of MB from the system and gives them back.
  In pages of 4 KB that takes two fifths of a small network's step. glibc (2.35
  and later) reads the setting when a program starts, and only there.
  """
  name = 'GLIBC_TUNABLES'
  if sys.platform != 'linux' or not sys.executable or name in os.environ:
    return
  # '-m' while Python looks for the module that it was told to run.
  if os.path.basename(sys.argv[0]) in ('-m', 'hg-jax'):
    os.environ[name] = 'glibc.malloc.hugetlb=1'
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


_take_huge_pages()


def __getattr__(name: str):
  """Imports the network only when it is asked for."""
  if name in __all__:
    from hg_jax.evaluation import predictor

    return getattr(predictor, name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
