"""Stacked Hourglass human pose estimation in JAX and Flax."""

import os

# TensorFlow reads them when it is imported, and would else tell at length how
# it was built and which of its operations are fast; we use only its tf.data.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

__all__ = ['Prediction', 'Predictor']


def __getattr__(name: str):
  """Imports the network only when it is asked for."""
  if name in __all__:
    from hg_jax.evaluation import predictor

    return getattr(predictor, name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
