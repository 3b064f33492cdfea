"""Fixtures for the tests of the stack."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.photo_server import PhotoServer
from tests.support.stack import Stack, empty_stack, prepared_stack


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 on which another program listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Yield a prepared stack that is not up yet."""
    with prepared_stack() as stack:
        yield stack


@pytest.fixture
def new_stack() -> Iterator[Stack]:
    """Yield a stack that has never been up."""
    with empty_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def running_stack(photo_server: PhotoServer) -> Iterator[Stack]:
    """Yield a stack for a whole module that is up and may fetch from the photo server."""
    with prepared_stack(CHAMPIPY_FETCH_ALLOW=photo_server.address) as stack:
        started = stack.up()
        assert started.returncode == 0, started.stdout + started.stderr
        stack.welcome = started.stdout
        yield stack
