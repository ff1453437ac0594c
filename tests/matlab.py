"""What MATLAB would save, to write .mat files for tests with."""

import numpy as np


def struct_array(structs):
  """A 1 x N MATLAB struct array; what a struct lacks is [], as in MATLAB."""
  names = list(dict.fromkeys(name for struct in structs for name in struct))
  array = np.zeros((1, len(structs)), [(name, object) for name in names])
  for column, struct in enumerate(structs):
    for name in names:
      array[0, column][name] = struct.get(name, np.zeros((0, 0)))
  return array
