"""Defines every setting, its type and its default.

A file under `configs/` returns a `Config` that differs from these defaults,
which are the report's best run (Adam, batch 16) of eight stacks at 256 px.
Sources: PORT is princeton-vl/pytorch_stacked_hourglass, the report's code;
LUA is Newell's pose-hg-train. Steps count optimizer updates.
"""

import dataclasses
import json
import operator
import sys
import typing
from typing import Any

from hg_jax.base.errors import UserError

_INT_MAX = 2**31 - 1  # the device counts steps in 32 bits
_FLOAT_MAX = sys.float_info.max
# What `_setting` takes: whether a value keeps to a bound, and how to say so.
_RULES = {
  'least': (operator.ge, 'at least'),
  'most': (operator.le, 'at most'),
  'above': (operator.gt, 'above'),
  'below': (operator.lt, 'below'),
  'multiple_of': (lambda value, bound: value % bound == 0, 'a multiple of'),
  'choices': (lambda value, choices: value in choices, 'one of'),
}


def _setting(default: Any, **allowed: Any):
  """Returns a field with this default, and the bounds that `check` tests.

  The bounds are those of `_RULES`; those of a tuple are of each number in it.
  """
  return dataclasses.field(default=default, metadata=allowed)


@dataclasses.dataclass(kw_only=True, slots=True)
class Model:
  stacks: int = _setting(8, least=1, most=64)
  # Channels of every hourglass.
  features: int = _setting(256, least=4, most=4096, multiple_of=4)
  # Of the computation.
  dtype: str = _setting('float32', choices=('float32', 'bfloat16'))
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
  shares: tuple[float, ...] = _setting((), least=1e-6, most=1e6)
  # Px of the network's input; heatmaps have a quarter. Two halvings lead to
  # the heatmap and four more to the hourglass's bottom.
  image_size: int = _setting(256, least=64, most=4096, multiple_of=64)
  # Px of the heatmap; PORT: heatmap size / 64.
  sigma: float = _setting(1.0, least=0.1, most=64)
  # Keep the decoded crops on every device and make the inputs there; it takes
  # 0.6 MB a person at 448 px, and needs neither host cores nor TensorFlow.
  resident: bool = False
  # Leave out people whose prepared crop is corrupt rather than stop.
  skip_corrupt: bool = False
  # Draw this many people and prepare them when `dir` holds nothing yet; if it
  # holds more or fewer, a line says that those are used.
  synthetic_people: int = _setting(0, least=0)


@dataclasses.dataclass(kw_only=True, slots=True)
class Augment:
  """Half widths of uniform distributions about "no change"; PORT's values."""

  # Degrees.
  rotation: float = _setting(30.0, least=0, most=180)
  # Of the crop's side; larger shows more of the image.
  scale: float = _setting(0.25, least=0, below=1)
  # Probability.
  flip: float = _setting(0.5, least=0, most=1)
  # Of 'people': probability of four photos in one.
  mosaic: float = _setting(0.5, least=0, most=1)
  # Factor on the distance from gray.
  saturation: float = _setting(0.5, least=0, most=1)
  # Factor on the distance from mid-gray.
  contrast: float = _setting(0.5, least=0, most=1)
  # Added, fraction of white.
  brightness: float = _setting(0.3, least=0, most=1)


@dataclasses.dataclass(kw_only=True, slots=True)
class Optimizer:
  name: str = _setting('adam', choices=('adam', 'rmsprop', 'sgd'))
  learning_rate: float = _setting(1e-3, least=0, most=100)
  # 'cosine': half of one, from the full rate to 0 at the end.
  schedule: str = _setting('steps', choices=('steps', 'cosine'))
  # Updates in which the rate rises from 0.
  warmup_steps: int = _setting(0, least=0)
  # Gradients of a greater norm are shortened to this; 0 leaves all.
  clip: float = _setting(0.0, least=0)
  # Of 'steps': the rate is multiplied by `drop_factor` after each of these.
  drop_steps: tuple[int, ...] = _setting((100_000,), least=1)
  drop_factor: float = _setting(0.2, least=0, most=1)


@dataclasses.dataclass(kw_only=True, slots=True)
class Evaluate:
  batch_size: int = _setting(32, least=1, most=4096)
  flip_test: bool = True
  # How a heatmap becomes a joint, also of `predict` and `export`: the
  # originals' quarter of a pixel towards the higher neighbor, or 'dark'.
  decoding: str = _setting('quarter', choices=('quarter', 'dark'))
  # Overlays of the worst and of random people, each.
  figures: int = _setting(16, least=0)


@dataclasses.dataclass(kw_only=True, slots=True)
class Config:
  # What the network finds: the 'joints' of the person in the middle of its
  # input, or the 'people' of a whole photo, as squares.
  task: str = _setting('joints', choices=('joints', 'people'))
  model: Model = dataclasses.field(default_factory=Model)
  data: Data = dataclasses.field(default_factory=Data)
  augment: Augment = dataclasses.field(default_factory=Augment)
  optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
  evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
  seed: int = _setting(0, least=0)
  # Over all devices of all machines.
  batch_size: int = _setting(16, least=1, most=65_536)
  # Into how many parts each device divides its share of the batch; it takes
  # one after the other, to save memory. BatchNorm sees a part at a time.
  accumulate_steps: int = _setting(1, least=1, most=65_536)
  steps: int = _setting(200_000, least=1)
  # Keep a moving average of the weights. It is evaluated as well, and used
  # instead of the weights; 0 keeps none, 0.999 is usual.
  ema_decay: float = _setting(0.0, least=0, below=1)
  # Folder of the run whose best weights to start from, or 'box', the network
  # that comes with the package; joints of names that it does not have start
  # anew, stacks that it does not have as copies of its last.
  init_from: str = ''
  # 'mean' over stacks, joints and pixels (PORT) or the 'sum' over stacks of
  # the mean over joints and pixels (LUA).
  loss: str = _setting('mean', choices=('mean', 'sum'))
  log_every: int = _setting(100, least=1)
  checkpoint_every: int = _setting(1_000, least=1)
  evaluate_every: int = _setting(5_000, least=1)


def to_json(config: Config) -> str:
  """Returns the text of a run's config.json."""
  return json.dumps(dataclasses.asdict(config), indent=2) + '\n'


def from_json(text: str) -> Config:
  """The inverse of `to_json`.

  A setting that the text lacks has its default: the run is older than it.

  Raises:
    UserError: the text is damaged, or names an unknown setting, or a value is
      not allowed.
  """
  try:
    values = json.loads(text)
  except json.JSONDecodeError as error:
    raise UserError(f'config.json is not JSON: {error}.') from error
  config = _from_dict(Config, values, 'config')
  check(config)
  return config


def _from_dict(kind: type, values: Any, name: str) -> Any:
  if not isinstance(values, dict):
    raise UserError(f'{name} is {values!r}; it must be a {kind.__name__}.')
  types = {field.name: field.type for field in dataclasses.fields(kind)}
  if unknown := sorted(values.keys() - types.keys()):
    names = ', '.join(f'{name}.{setting}' for setting in unknown)
    raise UserError(
      f'this version of hg_jax has no setting {names}, which the run was '
      'saved with.'
    )
  fields = {}
  for setting, value in values.items():
    if dataclasses.is_dataclass(types[setting]):
      value = _from_dict(types[setting], value, f'{name}.{setting}')
    # JSON has no tuples.
    fields[setting] = tuple(value) if isinstance(value, list) else value
  return kind(**fields)


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
  _check_fields(config, 'config')
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


def _check_fields(settings: Any, name: str) -> None:
  for field in dataclasses.fields(settings):
    path, value = f'{name}.{field.name}', getattr(settings, field.name)
    if wanted := _type_wanted(value, field.type):
      raise UserError(f'{path} is {value!r}; it must be {wanted}.')
    if dataclasses.is_dataclass(value):
      _check_fields(value, path)
    for number_or_text in value if isinstance(value, tuple) else (value,):
      for rule, bound in field.metadata.items():
        is_allowed, words = _RULES[rule]
        if not is_allowed(number_or_text, bound):
          raise UserError(f'{path} is {value!r}; it must be {words} {bound}.')


def _type_wanted(value: Any, kind: Any) -> str | None:
  """Returns what a setting of this type holds, if `value` is not of it."""
  if item_kinds := typing.get_args(kind):  # of tuple[int, ...]
    if type(value) is not tuple:
      return 'a tuple, such as (1, 2)'
    return next(
      filter(None, (_type_wanted(v, item_kinds[0]) for v in value)), None
    )
  if kind is int:
    is_right = type(value) is int and abs(value) <= _INT_MAX
    return None if is_right else f'a whole number of at most {_INT_MAX}'
  if kind is float:
    # An int serves as well. No comparison with NaN is true.
    is_right = type(value) in (int, float) and abs(value) <= _FLOAT_MAX
    return None if is_right else 'a finite number'
  if type(value) is not kind:
    words = {bool: 'True or False', str: 'a text in quotes'}
    return words.get(kind, f'a {kind.__name__}')
  if kind is str and '\0' in value:
    return 'a text without NUL characters'
  return None
