"""SIGTERM and SIGINT: a wish first, the end when they come again."""

import os
import signal
from types import FrameType


class Interruption:
  """While entered, the first signal is noted and the second ends the program.

  Attributes:
    signal: that which came, or None.
  """

  def __init__(self):
    self.signal: signal.Signals | None = None
    self._before = {}

  def __enter__(self) -> 'Interruption':
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number: int, frame: FrameType | None) -> None:
    if self.signal is not None:
      _say(f'{signal.Signals(number).name} again: stopping at once')
      os._exit(status(number))
    self.signal = signal.Signals(number)
    _say(f'{self.signal.name}: saving after this step; once more stops at once')


def status(number: int) -> int:
  """The exit status of a program that a signal ended, as shells have it."""
  return 128 + number


def _say(line: str) -> None:
  # `print` may be what the signal interrupted, and cannot be entered twice.
  os.write(2, f'\n{line}\n'.encode())
