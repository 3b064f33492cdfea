"""Fixtures for the tests of the stack."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.photo_server import PhotoServer
from tests.support.stack import Stack, stack_in_a_folder


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 on which another program listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Yield a stack that is not up yet."""
    with stack_in_a_folder() as stack:
        yield stack


@pytest.fixture(scope="module")
def running_stack(photo_server: PhotoServer) -> Iterator[Stack]:
    """Yield a stack for a whole module that is up and may fetch from the photo server."""
    with stack_in_a_folder(CHAMPIPY_FETCH_ALLOW=photo_server.address) as stack:
        started = stack.up()
        assert started.returncode == 0, started.stdout + started.stderr
        stack.welcome = started.stdout
        yield stack
