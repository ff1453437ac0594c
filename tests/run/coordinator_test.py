import socket
import threading
import time

import pytest

from hg_jax.run import coordinator


@pytest.fixture
def port():
  with socket.socket() as free:
    free.bind(('localhost', 0))
    return free.getsockname()[1]


def test_coordinator_waits_for_the_end_of_an_earlier_one(port):
  # JAX's services share a port, as gRPC does.
  first = coordinator.Coordinator(f'[::]:{port}', 2)
  threading.Timer(1.5, first.shutdown).start()
  began = time.monotonic()
  coordinator.Coordinator(f'[::]:{port}', 2).shutdown()
  assert time.monotonic() - began > 1.5


def test_coordinator_refuses_a_port_that_stays_taken(port):
  with (
    socket.create_server(('', port)),
    pytest.raises(RuntimeError, match='Address already in use'),
  ):
    coordinator._await_port(port, 0.1)


def test_coordinator_refuses_an_address_that_is_not_its_own(port):
  with pytest.raises(RuntimeError, match='can listen at nowhere'):
    coordinator.Coordinator(f'nowhere.invalid:{port}', 2)
