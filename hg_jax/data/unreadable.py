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
  OverflowError,
  TypeError,
  UnboundLocalError,  # scipy's, of a variable of no known class
  ValueError,
  scipy.io.matlab.MatReadError,
  struct.error,
  zlib.error,
)
