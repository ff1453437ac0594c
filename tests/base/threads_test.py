"""Results come in order, errors where they happen, and never too far ahead."""

import threading

import pytest

from hg_jax.base import threads


def test_map_ahead_keeps_the_order():
  # The first waits for the third, so they run at once.
  third = threading.Event()

  def work(item):
    if item == 0:
      assert third.wait(timeout=30)
    if item == 2:
      third.set()
    return item * item

  found = threads.map_ahead(work, range(9), threads=3, ahead=4)
  assert list(found) == [item * item for item in range(9)]


def test_map_ahead_takes_no_more_items_than_it_may():
  taken = []
  items = (taken.append(i) or i for i in range(100))
  found = threads.map_ahead(lambda item: item, items, threads=2, ahead=5)
  assert [next(found), next(found)] == [0, 1]
  assert len(taken) == 7
  found.close()
  assert len(taken) == 7


def test_map_ahead_raises_where_the_result_would_be():
  found = threads.map_ahead(
    lambda item: 1 / (item - 2), range(5), threads=2, ahead=3
  )
  assert [next(found), next(found)] == [-0.5, -1]
  with pytest.raises(ZeroDivisionError):
    next(found)


def test_read_ahead_reads_in_another_thread():
  def numbers():
    for number in range(5):
      yield number, threading.get_ident()

  found = list(threads.read_ahead(numbers(), ahead=2))
  assert [number for number, _ in found] == list(range(5))
  assert threading.get_ident() not in {thread for _, thread in found}


def test_read_ahead_raises_what_the_iterator_raises():
  def numbers():
    yield 1
    raise ValueError('gone')

  found = threads.read_ahead(numbers(), ahead=2)
  assert next(found) == 1
  with pytest.raises(ValueError, match='gone'):
    next(found)
