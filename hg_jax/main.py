"""Trains and evaluates a stacked hourglass.

  python -m hg_jax.main --config=configs/adam16.py [--workdir=DIR]
      [--mode=train|evaluate] [--config.batch_size=8 ...]

The same command goes on with an interrupted run.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from hg_jax.base import config as config_lib
from hg_jax.base import files
from hg_jax.base.command import (
  cache_compilations,
  config_name,
  define_config,
  given_config,
  run,
)
from hg_jax.base.config import Config
from hg_jax.base.errors import UserError, system_errors
from hg_jax.evaluation import people_report, report
from hg_jax.input import datasets, records
from hg_jax.model import people_maps
from hg_jax.prediction import whole_photos
from hg_jax.run import bundle, processes, run_config, signals
from hg_jax.training import train

FLAGS = flags.FLAGS


def define_flags() -> None:
  define_config('A file under configs/; --config.x=y changes a setting.')
  flags.DEFINE_string(
    'workdir',
    None,
    "The folder of the run; runs/<config> by default. To evaluate: 'box' is "
    'the network that comes with the package.',
  )
  flags.DEFINE_enum(
    'mode',
    'train',
    ['train', 'evaluate'],
    "An evaluation uses the run's own config, except for evaluate.* and "
    'data.dir if they are given.',
  )
  flags.DEFINE_string(
    'checkpoint', 'best', "To evaluate: 'best', 'latest' or a step."
  )
  flags.DEFINE_string(
    'split', 'valid', "To evaluate: 'valid', 'train' or 'test'."
  )
  flags.DEFINE_string(
    'output', None, "Where an evaluation writes; the run's folder by default."
  )
  flags.DEFINE_bool(
    'whole_photos',
    False,
    'Evaluate on whole photos, in which a finder finds the people.',
  )
  flags.DEFINE_string('finder', 'auto', "Of --whole_photos: a run's folder.")
  flags.DEFINE_integer(
    'profile', 0, 'Write a trace of this many steps.', lower_bound=0
  )


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(
      f'unexpected argument {argv[0]!r}; settings are --config.x=y.'
    )
  config, workdir = _config_and_workdir()
  cache_compilations()
  with processes.joined():
    processes.require_same(_common_settings(config))
    output = Path(FLAGS.output or workdir)
    evaluation = {
      'which': FLAGS.checkpoint,
      'split': FLAGS.split,
      'output': output,
    }
    if FLAGS.mode == 'train':
      train_run(
        config,
        workdir,
        profile=FLAGS.profile,
        check=lambda: report.check(workdir, config, **evaluation),
      )
    else:
      config = config_lib.from_json(
        processes.json_from_first(
          lambda: config_lib.to_json(_config_to_evaluate(workdir))
        )
      )
    with system_errors(output):
      if FLAGS.whole_photos:
        whole_photos.evaluate(
          workdir, config, **evaluation, finder=FLAGS.finder
        )
      elif config.task == 'people':
        people_report.evaluate_run(workdir, config, **evaluation)
      else:
        report.evaluate_run(workdir, config, **evaluation)


def train_run(
  config: Config,
  workdir: Path,
  *,
  profile: int = 0,
  check: Callable[[], None] = lambda: None,
) -> None:
  """Trains in `workdir`, or goes on with the run in it.

  A signal ends the program, with that signal's status.

  Args:
    config: the run's.
    workdir: its folder.
    profile: the number of steps to write a trace of.
    check: refuses what is to follow; called when there are people to train on.
  """
  train.check_devices(config)
  with contextlib.ExitStack() as held:
    processes.run_on_first(lambda: _begin_folder(config, workdir, held, check))
    try:
      train.train_and_evaluate(config, workdir, profile=profile)
    except train.Stopped as stopped:
      if processes.is_first_process():
        print(stopped, file=sys.stderr)
      sys.exit(signals.exit_status(stopped.signal))


def _begin_folder(
  config: Config,
  workdir: Path,
  held: contextlib.ExitStack,
  check: Callable[[], None],
) -> None:
  """Creates the run's folder if needed and locks it until `held` ends."""
  if workdir.is_file():
    raise UserError(f'{workdir} is a file; give a folder as --workdir.')
  if (workdir / 'config.json').exists():
    run_config.require_same_run(workdir, config)
  data_dir = datasets.folders(config)[0]
  if config.data.synthetic_people:
    from hg_jax import prepare  # TensorFlow

    prepare.prepare_synthetic(
      data_dir,
      config.data.synthetic_people,
      image_size=config.data.image_size,
    )
  skeleton = records.read_skeleton(data_dir)
  if config.task == 'people':
    skeleton = people_maps.SKELETON
  if (workdir / 'config.json').exists():
    run_config.require_same_joints(workdir, skeleton)
  check()
  with system_errors(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    held.enter_context(files.locked(workdir, flag='--workdir'))
    run_config.save(workdir, config, skeleton)


def _common_settings(config: Config | None) -> dict[str, object]:
  """What several processes have to be given alike; each may have its paths."""
  settings = {
    f'--{name}': FLAGS[name].value
    for name in ('mode', 'checkpoint', 'split', 'profile')
  }
  if config:
    for name, value in config_lib.flat(config).items():
      settings[f'config.{name}'] = value
    del settings['config.data.dir']
  return settings


def _config_and_workdir() -> tuple[Config | None, Path]:
  """Reads the flags; an evaluation needs no config, as its run has one."""
  config = given_config()
  if FLAGS.workdir == bundle.BOX and FLAGS.mode == 'evaluate':
    workdir = bundle.folder_of(bundle.BOX)
    if not FLAGS.output:
      raise UserError('say where to write: --output=DIR.')
  elif FLAGS.workdir:
    workdir = Path(FLAGS.workdir)
  elif config:
    workdir = Path('runs') / config_name()
  else:
    raise UserError(
      'give --config=configs/NAME.py, or --mode=evaluate --workdir=DIR.'
    )
  if FLAGS.mode == 'train' and not config:
    raise UserError('training needs --config=configs/NAME.py.')
  return config, workdir


def _config_to_evaluate(workdir: Path) -> Config:
  """Reads the run's own config, and changes how and on what it is evaluated.

  Raises:
    UserError: another setting is given, with another value than the run's.
  """
  config = run_config.load(workdir)
  saved = config_lib.flat(config)
  given = config_flags.get_override_values(FLAGS['config'])
  for name, value in given.items():
    if name not in run_config.FREE and value != saved[name]:
      raise UserError(
        f'{workdir} was trained with config.{name} = {saved[name]}, so it '
        f'cannot be evaluated with {value}; give config.evaluate.* and '
        'config.data.dir only.'
      )
    section, _, field = name.rpartition('.')
    setattr(getattr(config, section) if section else config, field, value)
  return config


if __name__ == '__main__':
  define_flags()
  run(main)
