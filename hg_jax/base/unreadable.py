"""What the libraries that read files of arrays raise on a damaged file."""

import struct
import zipfile
import zlib

import scipy.io

UNREADABLE = (
  AttributeError,
  EOFError,
  LookupError,
  NotImplementedError,
  OSError,
  OverflowError,
  RuntimeError,  # h5py's, of links; zipfile's, of what looks encrypted
  TypeError,
  UnboundLocalError,  # scipy's, of a variable of no known class
  ValueError,
  scipy.io.matlab.MatReadError,
  struct.error,
  zipfile.BadZipFile,
  zlib.error,
)
