"""Times things in turns, so that a busy machine slows all of them."""

import statistics
from collections.abc import Callable
from typing import Any

from tqdm import trange


def take_turns(
  contenders: dict[str, Callable[[], Any]], rounds: int
) -> dict[str, list[Any]]:
  """Calls each once a round, in an order that reverses; the first warms up.

  Returns:
    What each returned, by round.
  """
  results = {name: [] for name in contenders}
  for number in trange(rounds + 1, desc='Timing', unit='round'):
    for name in list(contenders)[:: 1 if number % 2 else -1]:
      result = contenders[name]()
      if number:
        results[name].append(result)
  return results


def spread(values: list[float]) -> dict[str, float]:
  """Returns the median of some values, and the extremes."""
  return {
    'median': statistics.median(values),
    'lowest': min(values),
    'highest': max(values),
  }
