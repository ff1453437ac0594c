"""Work that goes on in threads while its results are used, in order."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar('A')
B = TypeVar('B')


def map_ahead(
  function: Callable[[A], B], items: Iterable[A], *, threads: int, ahead: int
) -> Iterator[B]:
  """Maps items in threads, in order, at most `ahead` before they are used.

  An exception is raised where its result would have come.
  """
  items = iter(items)
  with ThreadPoolExecutor(threads) as pool:
    waiting = collections.deque()
    try:
      for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      pool.shutdown(wait=True, cancel_futures=True)


def read_ahead(items: Iterable[A], *, ahead: int) -> Iterator[A]:
  """Iterates in a thread of its own, at most `ahead` before items are used."""
  end = object()
  items = iter(items)
  # One thread, so that the calls of `next` come one after the other.
  calls = map_ahead(
    lambda _: next(items, end), itertools.count(), threads=1, ahead=ahead
  )
  try:
    for item in calls:
      if item is end:
        return
      yield item
  finally:
    calls.close()
