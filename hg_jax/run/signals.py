"""Lets a program finish what it is at when a signal asks it to end."""

import os
import signal
from types import FrameType

_WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class SignalWatch:
  """While entered, notes the first signal; the second ends the program.

  SIGTERM, SIGINT (Ctrl-C), SIGHUP (a closed terminal) and SIGUSR1 (of SLURM,
  before the time is up) are noted; one that the program was started to
  ignore, as under nohup, stays ignored.

  Attributes:
    signal: the one that came, or None.
  """

  def __init__(self, reaction: str = 'saving after this step'):
    """Makes a watch that says `reaction` when the first signal comes."""
    self.signal: signal.Signals | None = None
    self._reaction = reaction
    self._previous = {}

  def __enter__(self) -> 'SignalWatch':
    for number in _WATCHED:
      if signal.getsignal(number) != signal.SIG_IGN:
        self._previous[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def pass_on(self) -> None:
    """Lets a signal that came too late to be heeded do what it does else."""
    if self.signal is not None:
      signal.raise_signal(self.signal)

  def _note(self, number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    if self.signal is not None:
      _write_line(f'{name} again: stopping at once')
      os._exit(exit_status(number))
    self.signal = signal.Signals(number)
    _write_line(f'{name}: {self._reaction}; once more stops at once')


def exit_status(number: int) -> int:
  """Returns a shell's status of a program that this signal ended."""
  return 128 + number


def _write_line(line: str) -> None:
  # `print` may be what the signal interrupted, and cannot be entered twice.
  # The terminal may be closed already.
  try:
    os.write(2, f'\n{line}\n'.encode())
  except OSError:
    pass
