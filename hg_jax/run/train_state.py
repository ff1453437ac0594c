"""The state of training, which checkpoints save."""

from typing import Any

import flax
import jax
import optax


class TrainState(flax.struct.PyTreeNode):
  """Everything that a checkpoint holds.

  Attributes:
    step: i32[], the number of updates made.
    variables: {'params', 'batch_stats'} of the network.
    opt_state: the optimizer's state.
    ema: the moving average of `variables`; None unless `config.ema_decay`.
  """

  step: jax.Array
  variables: dict[str, Any]
  opt_state: optax.OptState
  ema: dict[str, Any] | None = None
