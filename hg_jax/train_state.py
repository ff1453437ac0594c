"""What a run has learned so far."""

import flax
import jax
import optax


class TrainState(flax.struct.PyTreeNode):
  """Everything that a checkpoint must hold.

  Attributes:
    step: i32[], updates made.
    variables: {'params', 'batch_stats'} of the network.
    opt_state: the optimizer's.
  """

  step: jax.Array
  variables: dict
  opt_state: optax.OptState
