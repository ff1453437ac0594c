"""What the libraries that read files of arrays raise on a damaged file."""

import struct
import zlib

import scipy.io

UNREADABLE = (
  AttributeError,
  EOFError,
  LookupError,
  NotImplementedError,
  OSError,
  TypeError,
  ValueError,
  scipy.io.matlab.MatReadError,
  struct.error,
  zlib.error,
)
