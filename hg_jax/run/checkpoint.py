"""Saves and restores a run's state with orbax, in its folder `checkpoints`.

There are the last two, and the best by PCKh.

Arrays are saved and restored as NumPy arrays, so a run goes on, or is
evaluated, on any number of devices.
"""

import dataclasses
import errno
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from hg_jax.base import files
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.run import integrity, run_config
from hg_jax.run.integrity import Corrupt
from hg_jax.run.train_state import TrainState

# The best checkpoint has the highest of the first of these that it has.
_METRICS = ('all_joints', 'box_ap')
_DELETED = 'deleted'  # a folder within that of the checkpoints


# What tensorstore and asyncio say after an error that was raised: of each
# array that was still to be read or written, and of a loop that could not open.
_AFTERMATH = ('Event loop is closed', "has no attribute '_ssock'")


def _ignore_aftermath() -> None:
  """Silences tracebacks that nobody can catch, about errors that were raised.

  Also where another checkpoint is then read in place of one that is gone.
  """
  print_others = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    if not str(unraisable.exc_value).endswith(_AFTERMATH):
      print_others(unraisable)

  sys.unraisablehook = hook


_ignore_aftermath()


def _main_score(scores: dict[str, float]) -> float:
  for name in _METRICS:
    if name in scores:
      return scores[name]
  raise KeyError(_METRICS[0])


class Checkpoints:
  """The checkpoints of a run."""

  def __init__(self, workdir: Path, *, writable: bool = False):
    """Opens the checkpoints in `workdir`.

    Args:
      workdir: the run's folder.
      writable: creates the folder and removes what an interrupted save left;
        only for the one process that holds the run's lock. Otherwise nothing
        is written, so that a run may be read while it trains.

    Raises:
      UserError: the scores or the times of a checkpoint are damaged.
    """
    self._workdir, self._writable = workdir, writable
    self._folder = (workdir / 'checkpoints').resolve()
    if writable:
      self._folder.mkdir(parents=True, exist_ok=True)
    _require_scores(self._folder)
    _require_times(self._folder)
    policy = {
      'preservation_policy': checkpoint_managers.AnyPreservationPolicy(
        [
          checkpoint_managers.LatestN(2),
          checkpoint_managers.BestN(
            get_metric_fn=_main_score,
            n=1,
            keep_checkpoints_without_metrics=False,
          ),
        ]
      ),
      'save_decision_policy': checkpoint_managers.FixedIntervalPolicy(1),
      'cleanup_tmp_directories': True,
      # Renamed, then removed: one being read is whole or gone.
      'todelete_subdir': _DELETED,
    }
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        # Not orbax's `read_only`, which logs warnings.
        **(policy if writable else {}),
        # Without it orbax does not write the metrics that BestN reads.
        best_fn=_main_score,
        best_mode='max',
        # Only the first process saves; it must not wait for the others.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
          active_processes={jax.process_index()},
          primary_host=jax.process_index(),
          barrier_sync_key_prefix='first',
        ),
        create=False,
      ),
    )

  def steps(self) -> list[int]:
    """Returns the steps of all checkpoints, in order."""
    return sorted(self._manager.all_steps())

  def latest(self) -> int | None:
    """Returns the step of the last checkpoint."""
    return self._manager.latest_step()

  def best(self) -> int | None:
    """Returns the step of the best checkpoint; without scores, the last."""
    return self._manager.best_step() or self._manager.latest_step()

  def evaluated(self, step: int) -> bool:
    """Whether the checkpoint of `step` has scores."""
    return self._manager.metrics(step) is not None

  def save(
    self, state: TrainState, metrics: dict[str, float] | None = None
  ) -> None:
    """Saves NumPy arrays in the background, with the scores if it has any.

    If the step is saved already, adds the scores to it.

    Raises:
      UserError: this one, or the one before, cannot be written.
    """
    step = int(state.step)
    with self._writing():
      if step in self._manager.all_steps():
        self._add_metrics(step, metrics)
        return
      sections = _sections(state)
      saved = self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.PyTreeSave(sections),
          checksums=ocp.args.JsonSave(
            {
              name: {
                'layout': integrity.layout(tree),
                'crc32': integrity.crc32(tree),
              }
              for name, tree in sections.items()
            }
          ),
        ),
        metrics=metrics,
      )
      shutil.rmtree(self._folder / _DELETED, ignore_errors=True)
    if not saved:
      raise RuntimeError(f'orbax did not save step {step}.')

  def _add_metrics(self, step: int, metrics: dict[str, float] | None) -> None:
    if metrics is None:
      return
    self._manager.wait_until_finished()
    # Where orbax itself writes them.
    folder = self._folder / str(step) / 'metrics'
    folder.mkdir(exist_ok=True)
    files.write(folder / 'metrics', json.dumps(metrics))
    self._manager.reload()

  def restore(self, step: int, like: TrainState) -> TrainState:
    """Restores a state as NumPy arrays in the tree of `like`.

    Raises:
      Corrupt: the checkpoint cannot be read or differs from what was saved.
      UserError: it is of another network or optimizer.
    """
    return TrainState(**self._restore(step, _sections(like), partial=False))

  def restore_last(
    self, like: TrainState, say: Callable[[str], None]
  ) -> TrainState | None:
    """Restores the last checkpoint that is whole; None if none was saved.

    Moves damaged ones to the run's folder `corrupt` and warns with `say`.

    Raises:
      UserError: all checkpoints are damaged, or one cannot be read now.
    """
    aside = self._workdir / 'corrupt'
    for step in reversed(self.steps()):
      try:
        return self.restore(step, like)
      except Corrupt as error:
        aside.mkdir(exist_ok=True)
        name = f'{step}-{time.strftime("%Y%m%d-%H%M%S")}'
        (self._folder / str(step)).rename(aside / name)
        self._manager.reload()
        say(f'warning: {error}; it is now {aside / name}')
    if aside.is_dir() and any(aside.iterdir()):
      raise UserError(
        f'{self._workdir} has no checkpoint that is whole; the damaged ones '
        f'are in {aside}. To begin anew, give another --workdir or remove '
        'that folder.'
      )
    return None

  def restore_weights(
    self, step: int, like: dict[str, Any], *, ema: bool
  ) -> dict[str, Any]:
    """Restores the weights or their average, whatever optimizer made them.

    Raises:
      Corrupt: the checkpoint cannot be read or differs from what was saved.
      UserError: it is of another network.
    """
    section = 'ema' if ema else 'variables'
    return self._restore(step, {section: like}, partial=True)[section]

  def _restore(
    self, step: int, tree: dict[str, Any], *, partial: bool
  ) -> dict[str, Any]:
    shapes = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree
    )
    as_numpy = jax.tree.map(
      lambda x: ocp.RestoreArgs(restore_type=np.ndarray, dtype=x.dtype),
      shapes,
    )
    args = ocp.args.PyTreeRestore(
      shapes, restore_args=as_numpy, partial_restore=partial
    )
    folder = self._workdir / 'checkpoints' / str(step)
    with integrity.reading(folder):
      saved = self._manager.restore(
        step, args=ocp.args.Composite(checksums=ocp.args.JsonRestore())
      ).checksums
      layouts = {
        name: integrity.layout(section) for name, section in tree.items()
      }
      if 'variables' not in saved:  # Every state has them.
        raise Corrupt(f'{folder} is damaged: its checksums lack the weights')
      if any(n not in saved or saved[n]['layout'] != layouts[n] for n in tree):
        raise UserError(integrity.other_layout(folder, tree))
      sections = self._manager.restore(
        step, args=ocp.args.Composite(state=args)
      ).state
      for name, section in sections.items():
        if integrity.crc32(section) != saved[name]['crc32']:
          raise Corrupt(
            f'{folder} is damaged: its {name} differs from what was saved'
          )
    return sections

  def close(self) -> None:
    """Waits until the last checkpoint is saved.

    Raises:
      UserError: it cannot be written.
    """
    with self._writing():
      self._manager.close()
      if self._writable:
        shutil.rmtree(self._folder / _DELETED, ignore_errors=True)

  def _kept(self) -> str:
    if (last := self.latest()) is None:
      return 'It has no checkpoint yet.'
    return f'Its checkpoints up to step {last} are whole.'

  @contextmanager
  def _writing(self) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # OSError, or tensorstore's.
      causes = [os.strerror(n) for n in (errno.ENOSPC, errno.EFBIG)]
      causes += [os.strerror(n) for n in (errno.EACCES, errno.EDQUOT)]
      for cause in causes:
        if cause in str(error):
          raise UserError(
            f'{self._workdir} cannot be written: {cause}. {self._kept()} Mend '
            'that and give the same command again.'
          ) from error
      raise


def _require_scores(folder: Path) -> None:
  """Refuses scores that orbax cannot compare, or takes for none.

  By them it keeps the best checkpoint, and deletes others.

  Raises:
    OSError: the system does not give them.
    UserError: they are damaged; names the file.
  """
  for step in sorted(folder.iterdir()) if folder.is_dir() else ():
    if not (step.name.isdecimal() and step.is_dir()):
      continue  # It is being written, or deleted.
    path = step / 'metrics' / 'metrics'
    try:
      scores = files.read_json(path)
      if scores is not None and not math.isfinite(_main_score(scores)):
        raise ValueError(f'its score is {_main_score(scores)}')
    except FileNotFoundError:
      continue  # It has none, or the run, which trains, has deleted it.
    except (LookupError, OverflowError, TypeError, ValueError) as error:
      raise UserError(
        f'{path} is damaged ({error!r:.100}); mend it, or move it away: the '
        'checkpoint then counts as one without scores.'
      ) from error


def _require_times(folder: Path) -> None:
  """Refuses what orbax cannot read of when a checkpoint was saved.

  Without the file it takes the folder's own time.

  Raises:
    UserError: names the file.
  """
  names = ocp.path.step.standard_name_format()
  for step in names.find_all(folder) if folder.is_dir() else ():
    try:
      _ = step.commit_timestamp
    except FileNotFoundError:
      continue  # The run, which trains, has deleted it.
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
      raise UserError(
        f'{step.path / "_CHECKPOINT_METADATA"} is damaged ({error!r:.100}); '
        'move it away: the checkpoint is read without it.'
      ) from error


def _sections(state: TrainState) -> dict[str, Any]:
  """Returns the fields of a state that are not None."""
  values = {
    field.name: getattr(state, field.name)
    for field in dataclasses.fields(state)
  }
  return {name: value for name, value in values.items() if value is not None}


def save_weights(
  workdir: Path,
  config: Config,
  skeleton: Skeleton,
  variables: dict[str, Any],
) -> None:
  """Writes weights as a run that can be evaluated.

  Raises:
    UserError: `workdir` is not empty.
  """
  unfinished = workdir / 'unfinished'  # there until all the rest is whole
  if unfinished.exists():
    shutil.rmtree(workdir / 'checkpoints', ignore_errors=True)
  elif workdir.exists() and any(workdir.iterdir()):
    raise UserError(f'{workdir} is not empty; give another folder.')
  workdir.mkdir(parents=True, exist_ok=True)
  unfinished.touch()
  run_config.save(workdir, config, skeleton)
  checkpoints = Checkpoints(workdir, writable=True)
  checkpoints.save(
    TrainState(step=np.int32(0), variables=variables, opt_state=())
  )
  checkpoints.close()
  unfinished.unlink()
