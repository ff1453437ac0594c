"""Stacked Hourglass human pose estimation in JAX and Flax."""

import os
import signal
import sys

# TensorFlow reads them when it is imported, and would else tell at length how
# it was built and which of its operations are fast; we use only its tf.data.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

__all__ = ['Prediction', 'Predictor']


def _is_command() -> bool:
  # '-m' while Python looks for the module that it was told to run.
  return os.path.basename(sys.argv[0]) in ('-m', 'hg-jax')


def _end_at_interrupt() -> None:
  """Lets Ctrl-C end a command at once, until `SignalWatch` notes it.

  Python would raise KeyboardInterrupt wherever it is. Within an import, or a
  callback from C++, some catch it, and the command goes on.
  """
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _open_closed_streams() -> None:
  """Opens /dev/null where a command has no input, output or errors (`>&-`).

  Else the next file that is opened takes the number of the closed one, and
  what a library says of its work is written into that file.
  """
  streams = {0: ('stdin', 'r'), 1: ('stdout', 'w'), 2: ('stderr', 'w')}
  for number, (name, mode) in streams.items():
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # It takes the lowest that is free.
      os.set_inheritable(number, True)
    if getattr(sys, name) is None:
      setattr(sys, name, open(number, mode, closefd=False))


def _take_huge_pages() -> None:
  """Starts a command again with glibc's memory in pages of 2 MB.

  On a CPU every step takes hundreds of MB from the system and gives them back.
  In pages of 4 KB that takes two fifths of a small network's step. glibc (2.35
  and later) reads the setting when a program starts, and only there.
  """
  name = 'GLIBC_TUNABLES'
  if sys.platform != 'linux' or not sys.executable or name in os.environ:
    return
  os.environ[name] = 'glibc.malloc.hugetlb=1'
  os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _require_environment_of_jax() -> None:
  """Ends a command with one line if JAX refuses a variable meant for it.

  JAX reads them when it is first imported, whichever module does so.
  """
  if not any(name.startswith('JAX_') for name in os.environ):
    return  # Some commands need no JAX, which takes long to import.
  try:
    import jax  # noqa: F401
  except ValueError as error:  # It names the variable.
    sys.exit(
      f'error: JAX cannot begin: {error}; unset or mend it in the environment.'
    )


if _is_command():
  _end_at_interrupt()
  _open_closed_streams()
  _take_huge_pages()
  _require_environment_of_jax()


def __getattr__(name: str):
  """Imports the network only when it is asked for."""
  if name in __all__:
    from hg_jax.prediction import predictor

    return getattr(predictor, name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
