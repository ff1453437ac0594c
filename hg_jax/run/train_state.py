"""What a run has learned so far."""

from typing import Any

import flax
import jax
import optax


class TrainState(flax.struct.PyTreeNode):
  """Everything that a checkpoint must hold.

  Attributes:
    step: i32[], updates made.
    variables: {'params', 'batch_stats'} of the network.
    opt_state: the optimizer's.
    ema: the moving average of `variables`; None unless `config.ema_decay`.
  """

  step: jax.Array
  variables: dict[str, Any]
  opt_state: optax.OptState
  ema: dict[str, Any] | None = None
