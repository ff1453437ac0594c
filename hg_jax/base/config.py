"""Defines every setting, its type and its default.

A file under `configs/` returns a `Config` that differs from these defaults,
which are the report's best run (Adam, batch 16) of eight stacks at 256 px.
Sources: PORT is princeton-vl/pytorch_stacked_hourglass, the report's code;
LUA is Newell's pose-hg-train. Steps count optimizer updates.
"""

import dataclasses
import json

from hg_jax.base.errors import UserError


@dataclasses.dataclass(kw_only=True, slots=True)
class Model:
  stacks: int = 8
  features: int = 256  # channels of every hourglass, a multiple of 4
  dtype: str = 'float32'  # of the computation: 'float32' or 'bfloat16'
  # BatchNorm statistics over the whole batch, whatever the number of devices.
  # False: over each device's part, as the report's DataParallel had it.
  sync_batch_norm: bool = True
  # To train many stacks. `scan` compiles one for all; `remat` computes each
  # again in the backward pass, for less memory (on a CPU only with `scan`).
  # Neither changes what is computed or saved. On a CPU a step with `scan`
  # takes 1.5 times as long or more.
  remat: bool = False
  scan: bool = False


@dataclasses.dataclass(kw_only=True, slots=True)
class Data:
  # Written by `python -m hg_jax.prepare`. To train on several datasets,
  # 'a,b': their joints are mapped onto those of the first by name, and
  # validation is the first one's.
  dir: str = 'data/mpii'
  # Of the examples, for each of several datasets: (2, 1) shows the first
  # twice as often as the second. None: everyone as often.
  shares: tuple[float, ...] = ()
  image_size: int = 256  # px, of the network's input; heatmaps have a quarter
  sigma: float = 1.0  # px of the heatmap; PORT: heatmap size / 64
  # Keep the decoded crops on every device and make the inputs there; it takes
  # 0.6 MB a person at 448 px, and needs neither host cores nor TensorFlow.
  resident: bool = False
  # Leave out people whose prepared crop is corrupt rather than stop.
  skip_corrupt: bool = False
  # Draw this many people and prepare them when `dir` holds nothing yet.
  synthetic_people: int = 0


@dataclasses.dataclass(kw_only=True, slots=True)
class Augment:
  """Half widths of uniform distributions about "no change"; PORT's values."""

  rotation: float = 30.0  # degrees
  scale: float = 0.25  # of the crop's side; larger shows more of the image
  flip: float = 0.5  # probability
  saturation: float = 0.5  # factor on the distance from gray
  contrast: float = 0.5  # factor on the distance from mid-gray
  brightness: float = 0.3  # added, fraction of white


@dataclasses.dataclass(kw_only=True, slots=True)
class Optimizer:
  name: str = 'adam'  # 'adam', 'rmsprop' or 'sgd'
  learning_rate: float = 1e-3
  # 'steps', or 'cosine': half of one, from the full rate to 0 at the end.
  schedule: str = 'steps'
  warmup_steps: int = 0  # updates in which the rate rises from 0
  # Of 'steps': the rate is multiplied by `drop_factor` after each of these.
  drop_steps: tuple[int, ...] = (100_000,)
  drop_factor: float = 0.2


@dataclasses.dataclass(kw_only=True, slots=True)
class Evaluate:
  batch_size: int = 32
  flip_test: bool = True
  figures: int = 16  # overlays of the worst and of random people, each


@dataclasses.dataclass(kw_only=True, slots=True)
class Config:
  model: Model = dataclasses.field(default_factory=Model)
  data: Data = dataclasses.field(default_factory=Data)
  augment: Augment = dataclasses.field(default_factory=Augment)
  optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
  evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
  seed: int = 0
  batch_size: int = 16  # over all devices of all machines
  # Into how many parts each device divides its share of the batch; it takes
  # one after the other, to save memory. BatchNorm sees a part at a time.
  accumulate_steps: int = 1
  steps: int = 200_000
  # Keep a moving average of the weights. It is evaluated as well, and used
  # instead of the weights; 0 keeps none, 0.999 is usual.
  ema_decay: float = 0.0
  init_from: str = ''  # folder of the run whose best weights to start from
  # 'mean' over stacks, joints and pixels (PORT) or the 'sum' over stacks of
  # the mean over joints and pixels (LUA).
  loss: str = 'mean'
  log_every: int = 100
  checkpoint_every: int = 1_000
  evaluate_every: int = 5_000


def to_json(config: Config) -> str:
  """Returns the text of a run's config.json."""
  return json.dumps(dataclasses.asdict(config), indent=2) + '\n'


def from_json(text: str) -> Config:
  """The inverse of `to_json`.

  A setting that the text lacks has its default: the run is older than it.

  Raises:
    UserError: a setting is unknown; names it.
  """
  return _from_dict(Config, json.loads(text), '')


def _from_dict(cls, values: dict, prefix: str):
  types = {field.name: field.type for field in dataclasses.fields(cls)}
  if unknown := sorted(values.keys() - types.keys()):
    names = ', '.join(f'config.{prefix}{name}' for name in unknown)
    raise UserError(
      f'this version of hg_jax has no setting {names}, which the run was '
      'saved with.'
    )
  return cls(
    **{
      name: _from_dict(types[name], value, f'{prefix}{name}.')
      if dataclasses.is_dataclass(types[name])
      else tuple(value)
      if isinstance(value, list)
      else value
      for name, value in values.items()
    }
  )


def flat(config: Config) -> dict[str, object]:
  """Returns every setting under its dotted name, such as 'model.stacks'."""
  values = {}
  for name, value in dataclasses.asdict(config).items():
    if isinstance(value, dict):
      values |= {f'{name}.{key}': v for key, v in value.items()}
    else:
      values[name] = value
  return values


def check(config: Config) -> None:
  """Refuses a config that cannot be trained.

  Raises:
    UserError: names the field, its value and what is allowed.
  """
  positive = {
    'model.stacks': config.model.stacks,
    'data.sigma': config.data.sigma,
    'evaluate.batch_size': config.evaluate.batch_size,
    'batch_size': config.batch_size,
    'accumulate_steps': config.accumulate_steps,
    'steps': config.steps,
    'log_every': config.log_every,
    'checkpoint_every': config.checkpoint_every,
    'evaluate_every': config.evaluate_every,
  }
  for name, value in positive.items():
    if value <= 0:
      raise UserError(f'config.{name} is {value}; it must be above 0.')
  choices = {
    'model.dtype': (config.model.dtype, ('float32', 'bfloat16')),
    'optimizer.name': (config.optimizer.name, ('adam', 'rmsprop', 'sgd')),
    'optimizer.schedule': (config.optimizer.schedule, ('steps', 'cosine')),
    'loss': (config.loss, ('mean', 'sum')),
  }
  for name, (value, allowed) in choices.items():
    if value not in allowed:
      raise UserError(
        f'config.{name} is {value!r}; choose {" or ".join(allowed)}.'
      )
  _check_rates(config)
  # Two halvings to the heatmap and four more to the hourglass's bottom.
  if config.data.image_size < 64 or config.data.image_size % 64:
    raise UserError(
      f'config.data.image_size is {config.data.image_size}; it must be a '
      'multiple of 64.'
    )
  # The stem begins with a quarter of them.
  if config.model.features < 4 or config.model.features % 4:
    raise UserError(
      f'config.model.features is {config.model.features}; it must be a '
      'multiple of 4.'
    )


def _check_rates(config: Config) -> None:
  settings = config.optimizer
  if not 0 <= settings.learning_rate < float('inf'):
    raise UserError(
      f'config.optimizer.learning_rate is {settings.learning_rate}; it must '
      'be a number of at least 0.'
    )
  ends = [config.steps]
  if settings.schedule == 'steps':
    ends += settings.drop_steps
  if not 0 <= settings.warmup_steps < min(ends):
    raise UserError(
      f'config.optimizer.warmup_steps is {settings.warmup_steps}; it must be '
      f'at least 0 and below {min(ends)}, where the rate falls or ends.'
    )
  if not 0 <= config.ema_decay < 1:
    raise UserError(
      f'config.ema_decay is {config.ema_decay}; it must be at least 0 and '
      'below 1.'
    )
