"""Stacked Hourglass human pose estimation in JAX and Flax."""

import os

# TensorFlow reads them when it is imported, and would else tell at length how
# it was built and which of its operations are fast; we use only its tf.data.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
