"""The optimizers and the learning rate of the report's experiments."""

import optax

from hg_jax.base.config import Config


def make_schedule(config: Config) -> optax.Schedule:
  """Returns the learning rate as a function of the update's number, from 0.

  'steps': the rate drops after each update whose number is in `drop_steps`,
  so update 100,000 is the last at the full rate, as in
  pytorch_stacked_hourglass (SPEC 7.24). 'cosine': from the full rate half a
  cosine down to 0, which would be update `config.steps`. The first
  `warmup_steps` updates rise to either in equal parts.
  """
  settings = config.optimizer
  if settings.schedule == 'cosine':
    shape = optax.cosine_decay_schedule(
      settings.learning_rate, config.steps - settings.warmup_steps
    )
  else:
    shape = optax.piecewise_constant_schedule(
      settings.learning_rate,
      {
        step + 1 - settings.warmup_steps: settings.drop_factor
        for step in settings.drop_steps
      },
    )
  if not settings.warmup_steps:
    return shape
  rise = settings.learning_rate / settings.warmup_steps
  return optax.join_schedules(
    [lambda step: rise * (step + 1), shape], [settings.warmup_steps]
  )


def make_optimizer(config: Config) -> optax.GradientTransformation:
  """Returns the optimizer; its parameters are those of PyTorch's (SPEC 3).

  Raises:
    ValueError: there is no optimizer of that name.
  """
  optimizer = _make_optimizer(config.optimizer.name, make_schedule(config))
  if not config.optimizer.clip:
    return optimizer
  clip = optax.clip_by_global_norm(config.optimizer.clip)
  return optax.chain(clip, optimizer)


def _make_optimizer(
  name: str, schedule: optax.Schedule
) -> optax.GradientTransformation:
  match name:
    case 'adam':
      return optax.adam(schedule, b1=0.9, b2=0.999, eps=1e-8)
    case 'rmsprop':
      # Optax's defaults, decay 0.9 and eps inside the root, make steps 10 to
      # 100 times too small here, where gradients are near 1e-6 (SPEC 0.3).
      return optax.rmsprop(schedule, decay=0.99, eps=1e-8, eps_in_sqrt=False)
    case 'sgd':
      return optax.sgd(schedule)
  raise ValueError(
    f'There is no optimizer {name!r}; choose adam, rmsprop or sgd.'
  )
