"""What the tests of the stack share."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.photo_server import PhotoServer
from tests.stack.running import Stack


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which something else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@contextmanager
def stack_in_a_folder(**settings: str) -> Iterator[Stack]:
    # Not tmp_path: its parents are closed to the user as whom root's PostgreSQL runs.
    folder = Path(tempfile.mkdtemp(prefix="champipy stack "))
    folder.chmod(0o711)
    stack = Stack(folder, **settings)
    yield stack
    stack("down")
    for process in stack.processes():
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack that is not up yet."""
    with stack_in_a_folder() as stack:
        yield stack


@pytest.fixture(scope="module")
def running_stack(photo_server: PhotoServer) -> Iterator[Stack]:
    """A stack that is up, for all tests of a module, and may fetch from the photo server."""
    with stack_in_a_folder(CHAMPIPY_FETCH_ALLOW=photo_server.address) as stack:
        started = stack.up()
        assert started.returncode == 0, started.stdout + started.stderr
        stack.welcome = started.stdout
        yield stack
