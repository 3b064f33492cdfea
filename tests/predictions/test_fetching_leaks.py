"""Fetching leaks nothing in a worker that runs for weeks."""

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from predictions import http_client
from predictions.fetching import FetchError, fetch_photo
from tests.support.fetching import BAD_RESPONSES, PHOTO, SLOW_PATHS
from tests.support.photo_server import PhotoServer


def _open_files() -> set[str]:
    """Return what the open files are; each socket has a name of its own."""
    names = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of this look itself
            names.add(str(entry.readlink()))
    return names


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_no_sockets_and_no_threads_are_left():
    # Those of an earlier test may end meanwhile, so what is new is looked at, not how many.
    files, threads = _open_files(), set(threading.enumerate())
    paths = [path for path, _ in BAD_RESPONSES] + SLOW_PATHS + ["a.jpg"] * 20
    with PhotoServer(files={"a.jpg": PHOTO}) as server, ThreadPoolExecutor(32) as pool:
        allow = frozenset({server.address})

        def fetch(path: str) -> bytes | str:
            try:
                return fetch_photo(server.url(path), allow=allow, deadline_s=1.0)
            except FetchError as error:
                return error.code

        answers = list(pool.map(fetch, paths))
    assert answers[-20:] == [PHOTO] * 20
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - threads and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(threading.enumerate()) - threads == set()
    assert _open_files() - files == set()


_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Encoding: gzip\r\nLocation: /b.jpg\r\nX-Folded: a\r\n b\r\n\r\n"
    b"20\r\n" + bytes(32) + b"\r\n0\r\nTrailer: x\r\n\r\n"
)


def test_any_response_gives_bytes_or_a_fetch_error(monkeypatch):
    rng = random.Random(5)
    odd = [b"\r\n", b"\n", b":", b"\0", b"-1", b"9" * 30, b"\xff\xfe", b"chunked, ", b"302", b"1.0"]
    odd += [
        b"Content-Length: -5\r\n",
        b"Content-Length: 7, 8\r\n",
        b"\xd9\xa3",
        b"HTTP/1.1 100 C\r\n",
    ]

    def respond(*args):
        data = bytearray(_RESPONSE)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((0, 1, 5))] = rng.choice(odd)
        host, client = socket.socketpair()
        host.sendall(data)
        host.shutdown(socket.SHUT_WR)
        open_hosts.append(host)
        return client

    monkeypatch.setattr(http_client, "_connected_socket", respond)
    for _ in range(2000):
        open_hosts: list[socket.socket] = []
        try:
            assert isinstance(fetch_photo("http://8.8.8.8/a.jpg"), bytes)
        except FetchError as error:
            assert error.code in {"image_unreachable", "image_not_found", "image_too_large"}
        for host in open_hosts:
            host.close()
