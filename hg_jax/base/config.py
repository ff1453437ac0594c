"""Defines every setting, its type, its bounds and its default.

A file under `configs/` returns a `Config` that differs from these defaults,
which are the report's best run (Adam, batch 16) of eight stacks at 256 px.
Sources: PORT is princeton-vl/pytorch_stacked_hourglass, the report's code;
LUA is Newell's pose-hg-train. Steps count optimizer updates.
"""

import dataclasses
import json
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from hg_jax.base import typed_json
from hg_jax.base.errors import UserError

_INT_MAX = 2**31 - 1  # devices count steps in 32 bits
Count = Annotated[int, Meta(ge=0, le=_INT_MAX)]
Positive = Annotated[int, Meta(ge=1, le=_INT_MAX)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


@dataclasses.dataclass(kw_only=True, slots=True)
class Model:
  stacks: Annotated[int, Meta(ge=1, le=64)] = 8
  # Channels of every hourglass.
  features: Annotated[int, Meta(ge=4, le=4096, multiple_of=4)] = 256
  # The type that the network computes in.
  dtype: Literal['float32', 'bfloat16'] = 'float32'
  # BatchNorm statistics over the whole batch, whatever the number of devices.
  # False: over each device's part, as the report's DataParallel had it.
  sync_batch_norm: bool = True
  # To train many stacks. `scan` compiles one stack for all; `remat` computes
  # each stack again in the backward pass, to save memory (on a CPU only with
  # `scan`). Neither changes what is computed or saved. On a CPU a step with
  # `scan` takes at least 1.5 times as long.
  remat: bool = False
  scan: bool = False


@dataclasses.dataclass(kw_only=True, slots=True)
class Data:
  # Written by `python -m hg_jax.prepare`. To train on several datasets,
  # 'a,b': their joints are mapped onto those of the first by name, and
  # validation uses the first.
  dir: str = 'data/mpii'
  # Shares of the examples, one for each dataset: (2, 1) shows the first twice
  # as often as the second. (): everyone is shown equally often.
  shares: tuple[Annotated[float, Meta(gt=0, le=1e6)], ...] = ()
  # Px of the network's input; heatmaps have a quarter. Two halvings lead to
  # the heatmap and four more to the hourglass's bottom.
  image_size: Annotated[int, Meta(ge=64, le=4096, multiple_of=64)] = 256
  # Px of the heatmap; PORT: heatmap size / 64.
  sigma: Annotated[float, Meta(ge=0.1, le=64)] = 1.0
  # Keep the decoded crops on every device and make the inputs there. This
  # takes 0.6 MB a person at 448 px, and no host cores and no TensorFlow.
  resident: bool = False
  # Leave out people whose prepared crop is corrupt rather than stop.
  skip_corrupt: bool = False
  # Draw this many people and prepare them if `dir` is empty. If it holds
  # another number of people, a warning says so and they are used.
  synthetic_people: Count = 0


@dataclasses.dataclass(kw_only=True, slots=True)
class Augment:
  """Half widths of uniform distributions about "no change"; PORT's values."""

  # Degrees.
  rotation: Annotated[float, Meta(ge=0, le=180)] = 30.0
  # Fraction of the crop's side; a larger crop shows more of the image.
  scale: Annotated[float, Meta(ge=0, lt=1)] = 0.25
  # Probability.
  flip: Fraction = 0.5
  # For 'people': probability of four photos in one.
  mosaic: Fraction = 0.5
  # Factor on the distance from gray.
  saturation: Fraction = 0.5
  # Factor on the distance from mid-gray.
  contrast: Fraction = 0.5
  # Added, as a fraction of white.
  brightness: Fraction = 0.3


@dataclasses.dataclass(kw_only=True, slots=True)
class Optimizer:
  name: Literal['adam', 'rmsprop', 'sgd'] = 'adam'
  learning_rate: Annotated[float, Meta(ge=0, le=100)] = 1e-3
  # 'cosine': half a period, from the full rate to 0 at the end.
  schedule: Literal['steps', 'cosine'] = 'steps'
  # Updates in which the rate rises from 0.
  warmup_steps: Count = 0
  # Gradients of a greater norm are shortened to this; 0 leaves all.
  clip: Annotated[float, Meta(ge=0)] = 0.0
  # For 'steps': the rate is multiplied by `drop_factor` after each of these.
  drop_steps: tuple[Positive, ...] = (100_000,)
  drop_factor: Fraction = 0.2


@dataclasses.dataclass(kw_only=True, slots=True)
class Evaluate:
  batch_size: Annotated[int, Meta(ge=1, le=4096)] = 32
  flip_test: bool = True
  # How a heatmap becomes a joint, also in `predict` and `export`: the
  # originals' quarter of a pixel towards the higher neighbor, or 'dark'.
  decoding: Literal['quarter', 'dark'] = 'quarter'
  # Overlays of the worst people, and as many of random people.
  figures: Count = 16


@dataclasses.dataclass(kw_only=True, slots=True)
class Config:
  # What the network finds: the 'joints' of the person in the middle of its
  # input, or the 'people' of a whole photo, as squares.
  task: Literal['joints', 'people'] = 'joints'
  model: Model = dataclasses.field(default_factory=Model)
  data: Data = dataclasses.field(default_factory=Data)
  augment: Augment = dataclasses.field(default_factory=Augment)
  optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
  evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
  seed: Count = 0
  # Over all devices of all machines.
  batch_size: Annotated[int, Meta(ge=1, le=65_536)] = 16
  # Each device divides its share of the batch into this many parts and takes
  # one after the other, to save memory. BatchNorm sees a part at a time.
  accumulate_steps: Annotated[int, Meta(ge=1, le=65_536)] = 1
  steps: Positive = 200_000
  # Decay of the moving average of the weights. The average is evaluated too,
  # and used instead of the weights. 0 keeps none; 0.999 is usual.
  ema_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
  # Folder of the run whose best weights to start from, or 'box', the network
  # that comes with the package. Joints whose names it lacks start anew, and
  # stacks that it lacks start as copies of its last.
  init_from: str = ''
  # 'mean' over stacks, joints and pixels (PORT) or the 'sum' over stacks of
  # the mean over joints and pixels (LUA).
  loss: Literal['mean', 'sum'] = 'mean'
  log_every: Positive = 100
  checkpoint_every: Positive = 1_000
  evaluate_every: Positive = 5_000


def to_json(config: Config) -> str:
  """Returns the text of a run's config.json."""
  return json.dumps(dataclasses.asdict(config), indent=2) + '\n'


def from_json(text: str) -> Config:
  """Reads the text of a run's config.json.

  A setting that the text lacks has its default: the run is older than it.

  Raises:
    UserError: the text is damaged, or names an unknown setting, or a value is
      not allowed.
  """
  try:
    values = json.loads(text)
  except json.JSONDecodeError as error:
    raise UserError(f'config.json is not JSON: {error}.') from error
  return from_values(values)


def from_values(values: Any) -> Config:
  """Reads the parsed contents of a run's config.json, as `from_json`."""
  config = _convert(values)
  if unknown := sorted(_names(values) - flat(config).keys()):
    names = ', '.join(f'config.{name}' for name in unknown)
    raise UserError(
      f'this version of hg_jax has no setting {names}, which the run was '
      'saved with.'
    )
  _check_schedule(config)
  return config


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
  """Refuses a setting of the wrong type or outside of its allowed values.

  Raises:
    UserError: names the setting, its value and what is allowed.
  """
  for field in dataclasses.fields(Config):
    value, kind = getattr(config, field.name), field.type
    if dataclasses.is_dataclass(kind) and type(value) is not kind:
      raise UserError(
        f'config.{field.name} is {value!r}; it must be a {kind.__name__}.'
      )
  right = _convert(msgspec.to_builtins(config))
  for name, value in flat(right).items():
    if (given := flat(config)[name]) != value:  # A list for a tuple.
      raise UserError(f'config.{name} is {given}; it must be {value}.')
  _check_schedule(config)


def _convert(values: Any) -> Config:
  try:
    return msgspec.convert(values, Config)
  except msgspec.ValidationError as error:
    place, expected = typed_json.problem(error)
    value, kind = values, Config
    setting = place.partition('[')[0]
    for name in setting.split('.') if setting else ():
      value = value[name]
      kind = {f.name: f.type for f in dataclasses.fields(kind)}[name]
    if get_args(kind) and expected.startswith('Invalid'):
      expected = f'one of {", ".join(get_args(kind))}'
    path = f'config.{setting}'.rstrip('.')
    raise UserError(f'{path} is {value!r}; it must be {expected}.') from error


def _names(values: dict[str, Any]) -> set[str]:
  """Lists the dotted names of saved settings."""
  names = set()
  for name, value in values.items():
    if isinstance(value, dict):
      names |= {f'{name}.{key}' for key in value}
    else:
      names.add(name)
  return names


def _check_schedule(config: Config) -> None:
  optimizer, ends = config.optimizer, [config.steps]
  if optimizer.schedule == 'steps':
    ends += optimizer.drop_steps
  if optimizer.warmup_steps >= min(ends):
    raise UserError(
      f'config.optimizer.warmup_steps is {optimizer.warmup_steps}; it must '
      f'be below {min(ends)}, where the rate falls or the training ends.'
    )
  if sorted(set(optimizer.drop_steps)) != list(optimizer.drop_steps):
    raise UserError(
      f'config.optimizer.drop_steps is {optimizer.drop_steps}; each must be '
      'above the one before.'
    )
