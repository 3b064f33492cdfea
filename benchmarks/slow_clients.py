"""Measures the web server: requests a second, and answers beside 500 slow connections.

    .venv/bin/python -m benchmarks.slow_clients

It starts its own stack; with `--base URL` it measures one that runs. The slow connections come from
the address of the others; they drip headers or bodies and are opened again when they are closed.
"""

import argparse
import contextlib
import http.client
import itertools
import multiprocessing
import selectors
import socket
import threading
import time
from urllib.parse import urlsplit

from benchmarks.service import ALICE, Client, new_photo, stack

SLOW = (
    b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST /api/v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 5000\r\n\r\n{",
    b"POST /api/v1/predictions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token x\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n--b",
    b"GET /admin/login/ HTTP/1.1\r\nHost: localhost\r\nCookie: a=",
)


class SlowClients:
    """A process that keeps `count` connections open which each send one byte a second."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self.address, self.count = address, count
        self.opened = multiprocessing.Value("i", 0)
        self.ends = multiprocessing.Event()
        self.beginnings = itertools.cycle(SLOW)
        self.process = multiprocessing.Process(target=self.run)

    def open(self) -> socket.socket | None:
        """Open a connection and send the beginning of a request."""
        try:
            connection = socket.create_connection(self.address, timeout=5)
            connection.sendall(next(self.beginnings))
        except OSError:
            return None
        connection.setblocking(False)
        self.opened.value += 1
        return connection

    def run(self) -> None:
        """Drip, and open what the server has closed, until `ends` is set."""
        with selectors.DefaultSelector() as closed:
            while not self.ends.is_set():
                began = time.monotonic()
                for _ in range(self.count - len(closed.get_map())):
                    if connection := self.open():
                        closed.register(connection, selectors.EVENT_READ)
                for key in list(closed.get_map().values()):
                    with contextlib.suppress(OSError):
                        key.fileobj.send(b"x")  # type: ignore[union-attr]
                for key, _ in closed.select(0):
                    closed.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                time.sleep(max(0, began + 1 - time.monotonic()))
            for key in list(closed.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]


def ask_status(address: tuple[str, int], seconds: float, times: list[float]) -> None:
    """Ask for the status again and again, each time on a new connection."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        began = time.monotonic()
        connection = http.client.HTTPConnection(*address, timeout=30)
        try:
            connection.request("GET", "/api/v1/status")
            response = connection.getresponse()
            response.read()
            failure = "" if response.status == 200 else f"status {response.status}"
        except (OSError, http.client.HTTPException) as error:
            failure = repr(error)
        finally:
            connection.close()
        took = time.monotonic() - began
        if failure:
            print(f"no answer after {took:.2f} s: {failure}")
        times.append(float("inf") if failure else took)
        time.sleep(0.2)


def beside_slow_clients(address: tuple[str, int], slow: int, others: int, seconds: float) -> None:
    """Print how long the others wait for the status while slow clients hold connections."""
    clients = SlowClients(address, slow)
    clients.process.start()
    time.sleep(3)
    times: list[float] = []
    threads = [
        threading.Thread(target=ask_status, args=(address, seconds, times)) for _ in range(others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clients.ends.set()
    clients.process.join()
    times.sort()
    print(
        f"{slow} slow connections ({clients.opened.value} opened), {others} others: {len(times)} "
        f"answers, median {times[len(times) // 2] * 1000:.0f} ms, longest {times[-1]:.2f} s"
    )


def rates(base: str, seconds: float) -> None:
    """Print the requests a second of one client: the status, and a photo scored before."""
    client, photo = Client(base, ALICE), new_photo()
    client.predict(photo)
    status = (lambda: client.session.get(f"{base}/status"), "GET /status")
    reused = (lambda: client.predict(photo), "reused POST /predictions")
    for call, name in (status, reused):
        for users in (1, 8):
            counts = [0] * users
            deadline = time.monotonic() + seconds

            def ask(index: int) -> None:
                while time.monotonic() < deadline:  # noqa: B023
                    call()  # noqa: B023
                    counts[index] += 1  # noqa: B023

            threads = [threading.Thread(target=ask, args=(index,)) for index in range(users)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(f"{name}, {users} at once: {sum(counts) / seconds:.1f} requests/s")


def measure(base: str, options: argparse.Namespace) -> None:
    """Print everything for the server at `base`."""
    url = urlsplit(base)
    address = (url.hostname or "127.0.0.1", url.port or 80)
    rates(base, options.seconds / 3)
    beside_slow_clients(address, options.slow, 20, options.seconds)


def main() -> None:
    """Start a stack, unless one is given, and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", help="such as http://127.0.0.1:8000/api/v1")
    parser.add_argument("--port", type=int, default=8767)
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    if options.base:
        measure(options.base, options)
    else:
        with stack(options.port) as (base, _):
            measure(base, options)


if __name__ == "__main__":
    main()
