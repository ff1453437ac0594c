"""A run's folder: its config, and its weights by orbax.

  config.json   what the run was started with
  checkpoints/  the last two, and the best by PCKh

Arrays are saved and restored as NumPy, so a run goes on, or is evaluated, on
any number of devices.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from hg_jax import config as config_lib
from hg_jax.command import UserError
from hg_jax.config import Config
from hg_jax.train_state import TrainState

METRIC = 'all_joints'  # the best checkpoint has the highest


class Checkpoints:
  """The checkpoints of a run."""

  def __init__(self, workdir: Path):
    folder = (workdir / 'checkpoints').resolve()
    folder.mkdir(parents=True, exist_ok=True)
    self._manager = ocp.CheckpointManager(
      folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(
          [
            checkpoint_managers.LatestN(2),
            checkpoint_managers.BestN(
              get_metric_fn=lambda metrics: metrics[METRIC],
              n=1,
              keep_checkpoints_without_metrics=False,
            ),
          ]
        ),
        save_decision_policy=checkpoint_managers.FixedIntervalPolicy(1),
        # Without it orbax does not write the metrics that BestN reads.
        best_fn=lambda metrics: metrics[METRIC],
        best_mode='max',
        cleanup_tmp_directories=True,
        # The first of many processes is here alone, and must not wait.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
          active_processes={jax.process_index()},
          primary_host=jax.process_index(),
          barrier_sync_key_prefix='first',
        ),
        create=False,
      ),
    )

  def steps(self) -> list[int]:
    """The steps of all checkpoints."""
    return sorted(self._manager.all_steps())

  def latest(self) -> int | None:
    """The step of the last checkpoint."""
    return self._manager.latest_step()

  def best(self) -> int | None:
    """The step of the best checkpoint; the last if none was evaluated."""
    return self._manager.best_step() or self._manager.latest_step()

  def save(
    self, state: TrainState, metrics: dict[str, float] | None = None
  ) -> None:
    """Saves in the background; `metrics` if this step was evaluated."""
    state = jax.device_get(state)
    tree = _sections(state)
    saved = self._manager.save(
      int(state.step),
      args=ocp.args.Composite(state=ocp.args.PyTreeSave(tree)),
      metrics=metrics,
    )
    if not saved:
      raise RuntimeError(f'step {state.step} was saved before.')

  def restore(self, step: int, like: TrainState) -> TrainState:
    """A saved state, as NumPy arrays in the tree of `like`."""
    return TrainState(**self._restore(step, _sections(like), partial=False))

  def restore_weights(
    self, step: int, like: dict[str, Any], *, ema: bool
  ) -> dict[str, Any]:
    """The weights alone, or their average, whatever optimizer made them."""
    section = 'ema' if ema else 'variables'
    return self._restore(step, {section: like}, partial=True)[section]

  def _restore(self, step: int, tree: Any, *, partial: bool) -> Any:
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
    return self._manager.restore(
      step, args=ocp.args.Composite(state=args)
    ).state

  def close(self) -> None:
    """Waits for the last save."""
    self._manager.close()


def _sections(state: TrainState) -> dict[str, Any]:
  """The fields of a state that hold anything."""
  values = {
    field.name: getattr(state, field.name)
    for field in dataclasses.fields(state)
  }
  return {name: value for name, value in values.items() if value is not None}


def save_config(workdir: Path, config: Config) -> None:
  (workdir / 'config.json').write_text(config_lib.to_json(config))


def load_config(workdir: Path) -> Config:
  """The config that the run in `workdir` was started with.

  Raises:
    UserError: there is no run, or it is of another version.
  """
  path = workdir / 'config.json'
  if not path.exists():
    raise UserError(f'{workdir} holds no run: {path} is not there.')
  return config_lib.from_json(path.read_text())


def require_same_run(workdir: Path, config: Config) -> None:
  """Refuses to go on with a run under a config that makes another one of it.

  Raises:
    UserError: names the settings that differ, with both values.
  """
  free = set(_FREE)
  if config.optimizer.schedule == 'cosine':
    free.remove('steps')  # The rate depends on where it ends.
  _require_same(
    workdir,
    [name for name in config_lib.flat(config) if name not in free],
    config,
  )


def require_same_network(workdir: Path, config: Config) -> None:
  """Refuses to evaluate a run under the config of another network.

  Raises:
    UserError: names the settings that differ, with both values.
  """
  _require_same(workdir, _NETWORK, config)


def require_same_weights(workdir: Path, config: Config) -> None:
  """Refuses to begin with the weights of a run of another network.

  Raises:
    UserError: names the settings that differ, with both values.
  """
  _require_same(workdir, ['model.stacks', 'model.features'], config)


# Settings that do not change what a step computes.
_FREE = {
  'model.remat',
  'model.scan',
  'data.dir',
  'data.resident',  # Its inputs are the same to a gray level.
  'evaluate.batch_size',
  'evaluate.flip_test',
  'evaluate.figures',
  'steps',
  'log_every',
  'checkpoint_every',
  'evaluate_every',
}
# Settings that an evaluation needs as they were.
_NETWORK = ['model.stacks', 'model.features', 'data.image_size', 'data.sigma']


def _require_same(workdir: Path, names: list[str], config: Config) -> None:
  saved, given = config_lib.flat(load_config(workdir)), config_lib.flat(config)
  different = [
    f'{name} = {saved[name]} (now {given[name]})'
    for name in names
    if saved[name] != given[name]
  ]
  if different:
    raise UserError(
      f'{workdir} holds a different run: {"; ".join(different)}; give '
      'another --workdir, or the settings it was started with.'
    )


def save_weights(
  workdir: Path, config: Config, variables: dict[str, Any]
) -> None:
  """Writes weights from elsewhere as a run that can be evaluated.

  Raises:
    UserError: `workdir` holds something already.
  """
  if workdir.exists() and any(workdir.iterdir()):
    raise UserError(f'{workdir} is not empty; give another folder.')
  workdir.mkdir(parents=True, exist_ok=True)
  save_config(workdir, config)
  checkpoints = Checkpoints(workdir)
  checkpoints.save(
    TrainState(step=np.int32(0), variables=variables, opt_state=())
  )
  checkpoints.close()
