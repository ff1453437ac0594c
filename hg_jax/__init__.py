"""Stacked Hourglass human pose estimation in JAX and Flax."""

import os

# TensorFlow reads it when it is imported, and would else tell at length how it
# was built.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
