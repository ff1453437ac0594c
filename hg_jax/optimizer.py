"""The optimizers and the learning rate of the report's experiments."""

import optax

from hg_jax import config


def make_schedule(settings: config.Optimizer) -> optax.Schedule:
  """Returns the learning rate as a function of the update's number, from 0.

  The rate drops after each update whose number is in `drop_steps`, so update
  100,000 is the last at the full rate, as in pytorch_stacked_hourglass
  (SPEC 7.24).
  """
  return optax.piecewise_constant_schedule(
    settings.learning_rate,
    {step + 1: settings.drop_factor for step in settings.drop_steps},
  )


def make_optimizer(settings: config.Optimizer) -> optax.GradientTransformation:
  """Returns the optimizer; its parameters are those of PyTorch's (SPEC 3).

  Raises:
    ValueError: there is no optimizer of that name.
  """
  schedule = make_schedule(settings)
  match settings.name:
    case 'adam':
      return optax.adam(schedule, b1=0.9, b2=0.999, eps=1e-8)
    case 'rmsprop':
      # Optax's defaults, decay 0.9 and eps inside the root, make steps 10 to
      # 100 times too small here, where gradients are near 1e-6 (SPEC 0.3).
      return optax.rmsprop(schedule, decay=0.99, eps=1e-8, eps_in_sqrt=False)
    case 'sgd':
      return optax.sgd(schedule)
  raise ValueError(
    f'There is no optimizer {settings.name!r}; choose adam, rmsprop or sgd.'
  )
