"""Tests the web server with real sockets and a small WSGI application."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from champipy_site.web import channels, server
from common.uploads import MAX_BODY_BYTES, MAX_OBSERVATION_BYTES, OBSERVATIONS_PATH

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


class Application:
    """Answers with what it got: path, thread, Content-Length, and the length of the body.

    `/wait` is answered once `may_go_on` is set.
    """

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.arrived = threading.Semaphore(0)

    def __call__(self, environ: dict, start_response: Callable) -> list[bytes]:
        self.arrived.release()
        if environ["PATH_INFO"] == "/wait":
            assert self.may_go_on.wait(60)
        seen = {
            "path": environ["PATH_INFO"],
            "thread": threading.current_thread().name,
            "content_length": environ.get("CONTENT_LENGTH"),
            "body": len(environ["wsgi.input"].read()),
            "forwarded": environ.get("HTTP_X_FORWARDED_FOR"),
        }
        body = json.dumps(seen).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


class Running:
    """A server that runs in a thread."""

    def __init__(self, **limits: int) -> None:
        self.application = Application()
        listener = server.listen("127.0.0.1", 0)
        self.address = listener.getsockname()
        limits = {"per_address": 200, "limit": 1000, **limits}
        self.server = server.Server(self.application, listener, **limits)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=60)
        connection.sendall(data)
        return connection

    def ask(self, path: str = "/") -> dict:
        with self.connect(GET.replace(b" / ", f" {path} ".encode()) + b"\r\n") as connection:
            status, _, body = answer_of(connection)
            assert status == 200
            return body


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server; stop the servers afterwards."""
    running = []

    def start(**limits: int) -> Running:
        running.append(Running(**limits))
        return running[-1]

    yield start
    for each in running:
        each.application.may_go_on.set()
        each.server.stop()
        each.thread.join(60)
        assert not each.thread.is_alive()


@contextmanager
def closing(connections: list[socket.socket]) -> Iterator[None]:
    yield
    for connection in connections:
        connection.close()


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], dict]:
    """Return status, headers and body of the next answer on a connection."""
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        lines = iter(lambda: file.readline().decode().strip(), "")
        headers = dict(line.split(": ", 1) for line in lines)
        return status, headers, json.loads(file.read(int(headers["Content-Length"])))


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server closes the connection and sends nothing more."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def assert_refused(connection: socket.socket, status: int, code: str) -> None:
    got, headers, body = answer_of(connection)
    assert (got, body["errors"][0]["code"]) == (status, code)
    assert headers["Content-Type"] == "application/json"
    assert headers["Connection"] == "close"
    assert is_closed(connection)


HALF_REQUESTS = [
    b"GET / HTT",
    GET + b"X-Slow: ",
    b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
]


@pytest.mark.parametrize("half", HALF_REQUESTS)
def test_slow_connections_take_no_thread(run, half: bytes) -> None:
    running = run()
    slow = [running.connect(half) for _ in range(150)]
    with closing(slow):
        assert [running.ask()["path"] for _ in range(10)] == ["/"] * 10
        assert len(running.server.task_dispatcher.threads) <= 10  # one a request at most


@pytest.mark.parametrize("half", HALF_REQUESTS)
def test_late_request_gets_408(run, monkeypatch, half: bytes) -> None:
    monkeypatch.setattr(channels, "HEADER_SECONDS", 0)
    monkeypatch.setattr(channels, "BODY_SECONDS", 0)
    monkeypatch.setattr(channels, "BODY_BYTES_A_SECOND", 10**9)
    assert_refused(run().connect(half), 408, "request_timeout")


def test_body_has_more_time_the_more_of_it_has_arrived(run) -> None:
    running = run()
    with running.connect(b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n") as connection:
        allowed: list[float] = []
        for _ in range(3):
            connection.sendall(bytes(3_000_000))
            seen = len(allowed) * 3_000_000 + 3_000_000

            def has_arrived(seen: int = seen) -> bool:
                return [
                    channel.request is not None and channel.request.body_bytes_received
                    for channel in running.server.channels()
                ] == [seen]

            while not has_arrived():
                pass
            allowed += [channel.allowed_seconds() for channel in running.server.channels()]
        assert allowed == [80, 120, 120]
        connection.sendall(bytes(1_000_000))
        assert answer_of(connection)[2]["body"] == 10_000_000


def test_idle_connection_is_closed(run, monkeypatch) -> None:
    running = run()
    with running.connect(GET + b"\r\n") as connection:
        assert answer_of(connection)[0] == 200
        connection.sendall(GET + b"\r\n")
        assert answer_of(connection)[0] == 200
        monkeypatch.setattr(channels, "IDLE_SECONDS", 0)
        assert is_closed(connection)


def test_client_that_takes_no_answer_is_closed(run, monkeypatch) -> None:
    monkeypatch.setattr(channels, "MAX_SECONDS", 0)
    running = run()
    big = b"x" * 30_000_000
    running.server.application = lambda environ, start: (
        start("200 OK", [("Content-Length", str(len(big)))]) and [big]
    )
    with running.connect(GET + b"\r\n"):
        assert running.application.arrived is not None
        while not running.server.channels():
            pass
        while running.server.channels():
            pass


@pytest.mark.parametrize("limits", [{"per_address": 3}, {"limit": 3}])
def test_the_connection_that_waits_longest_makes_room(run, limits) -> None:
    running = run(**limits)
    slow = [running.connect(GET) for _ in range(3)]
    with closing(slow):
        while sum(each.is_receiving() for each in running.server.channels()) < 3:
            pass
        assert running.ask()["path"] == "/"
        assert_refused(slow[0], 408, "request_timeout")
        for connection in slow[1:]:
            connection.sendall(b"\r\n")
            assert answer_of(connection)[0] == 200


def test_no_connection_gets_the_event_of_a_closed_one(run) -> None:
    """While connections are closed and opened all the time, each new one is answered."""
    running = run(per_address=40)
    slow: list[socket.socket] = []
    with closing(slow):
        for _ in range(40):
            slow += [running.connect(GET) for _ in range(30)]
            assert [running.ask()["path"] for _ in range(5)] == ["/"] * 5


def test_connection_beyond_the_limit_is_refused_while_threads_work_for_all(run) -> None:
    running = run(per_address=2)
    busy = [running.connect(GET.replace(b" / ", b" /wait ") + b"\r\n") for _ in range(2)]
    with closing(busy):
        for _ in busy:
            running.application.arrived.acquire()
        with running.connect() as refused:
            assert is_closed(refused)
        running.application.may_go_on.set()
        assert [answer_of(connection)[0] for connection in busy] == [200, 200]


def test_slowest_upload_is_closed_when_all_together_are_too_large(run, monkeypatch) -> None:
    monkeypatch.setattr(server, "MAX_BUFFERED_BYTES", 150_000)
    running = run()
    head = b"POST / HTTP/1.1\r\nContent-Length: 100001\r\n\r\n"
    first = running.connect(head + bytes(100_000))
    second = running.connect(head + bytes(100_000))
    with closing([first, second]):
        assert_refused(first, 408, "request_timeout")
        second.sendall(b"x")
        assert answer_of(second)[2]["body"] == 100_001


@pytest.mark.parametrize("size", [0, 1, 70_000, MAX_BODY_BYTES])
def test_body_arrives_as_a_whole(run, size: int) -> None:
    head = f"POST / HTTP/1.1\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n".encode()
    with run().connect(head) as connection:
        if size:
            assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(bytes(size))
        assert answer_of(connection)[2]["body"] == size


def test_too_large_body_is_read_and_not_kept(run) -> None:
    """The application decides by the Content-Length, and the connection can go on."""
    running = run()
    size = MAX_BODY_BYTES + 1
    head = f"POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode()
    with running.connect(head + bytes(size - 1)) as connection:
        while [
            channel.request is not None and channel.request.body_bytes_received
            for channel in running.server.channels()
        ] != [size - 1]:
            pass
        assert [channel.request.buffered() for channel in running.server.channels()] == [0]
        connection.sendall(b"x")
        seen = answer_of(connection)[2]
        assert (seen["content_length"], seen["body"]) == (str(size), 0)
        connection.sendall(GET + b"\r\n")
        assert answer_of(connection)[0] == 200


def test_huge_body_is_refused_before_it_is_read(run) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: 50000001\r\nExpect: 100-continue\r\n\r\n"
    with run().connect(head) as connection:
        status, headers, seen = answer_of(connection)
        assert (status, headers["Connection"], seen["body"]) == (200, "close", 0)
        assert seen["content_length"] == "50000001"
        assert is_closed(connection)


OBSERVE = f"POST {OBSERVATIONS_PATH} HTTP/1.1\r\n".encode()


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_photos_of_an_observation_arrive_as_a_whole(run, framing: str) -> None:
    size = MAX_OBSERVATION_BYTES
    if framing == "length":
        data = OBSERVE + f"Content-Length: {size}\r\n\r\n".encode() + bytes(size)
    else:
        data = OBSERVE + b"Transfer-Encoding: chunked\r\n\r\n"
        data += f"{size:x}\r\n".encode() + bytes(size) + b"\r\n0\r\n\r\n"
    with run().connect(data) as connection:
        assert answer_of(connection)[2]["body"] == size


def test_larger_photos_of_an_observation_are_not_kept(run) -> None:
    running = run()
    size = MAX_OBSERVATION_BYTES + 1
    head = OBSERVE + f"Content-Length: {size}\r\n\r\n".encode()
    with running.connect(head + bytes(size)) as connection:
        seen = answer_of(connection)[2]
        assert (seen["content_length"], seen["body"]) == (str(size), 0)
    head = OBSERVE + f"Content-Length: {2 * MAX_OBSERVATION_BYTES + 1}\r\n\r\n".encode()
    with running.connect(head) as connection:
        _, headers, seen = answer_of(connection)
        assert (headers["Connection"], seen["body"]) == ("close", 0)
    chunked = OBSERVE + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = f"{MAX_OBSERVATION_BYTES + 9:x}\r\n".encode() + bytes(MAX_OBSERVATION_BYTES + 9)
    with running.connect(chunked + chunk) as connection:
        assert_refused(connection, 413, "request_too_large")


@pytest.mark.parametrize(
    "line",
    [
        *("PUT {}", "PATCH {}", "POST {}/", "POST {}/1", "POST /x{}", "POST {}%20", "POST {}x"),
        *("POST /api/v1/predictions", "POST /api/v1/token", "POST /?{}", "POST /#{}"),
    ],
)
def test_no_other_path_takes_as_much(run, line: str) -> None:
    size = MAX_BODY_BYTES + 1
    first = f"{line.format(OBSERVATIONS_PATH)} HTTP/1.1\r\nContent-Length: {size}\r\n\r\n"
    with run().connect(first.encode() + bytes(size)) as connection:
        assert answer_of(connection)[2]["body"] == 0


def test_chunked_body_arrives_as_a_whole(run) -> None:
    chunks = b"5\r\n12345\r\n3;extension=1\r\n678\r\n0\r\nTrailer: 1\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with run().connect(head + chunks) as connection:
        assert answer_of(connection)[2] | {"thread": ""} == {
            **{"path": "/", "thread": "", "content_length": "8", "body": 8, "forwarded": None}
        }


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"\xff\x00\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (GET + b"X: " + b"x" * 33_000, 431, "request_headers_too_large"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not_implemented"),
        (CHUNKED + b"x\r\n", 400, "bad_request"),
        (CHUNKED + b"1" * 9_000, 400, "bad_request"),
        (CHUNKED + b"0\r\nX: " + b"x" * 9_000, 400, "bad_request"),
        (CHUNKED + b"a80000\r\n" + bytes(MAX_BODY_BYTES + 9), 413, "request_too_large"),
    ],
)
def test_what_is_no_proper_request_is_refused_in_the_apis_shape(
    run, request_: bytes, status: int, code: str
) -> None:
    running = run()
    with running.connect(request_) as connection:
        assert_refused(connection, status, code)
    assert running.ask()["path"] == "/"


def test_forwarded_header_reaches_django(run) -> None:
    with run().connect(GET + b"X-Forwarded-For: 203.0.113.5\r\n\r\n") as connection:
        assert answer_of(connection)[2]["forwarded"] == "203.0.113.5"


def test_stop_finishes_what_has_begun(run) -> None:
    running = run()
    idle = running.connect()
    half = running.connect(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345")
    working = running.connect(GET.replace(b" / ", b" /wait ") + b"\r\n")
    with closing([idle, half, working]):
        running.application.arrived.acquire()
        running.server.stop()
        assert is_closed(idle)
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        half.sendall(b"67890")
        assert answer_of(half)[2]["body"] == 10
        assert running.thread.is_alive()
        running.application.may_go_on.set()
        assert answer_of(working)[2]["path"] == "/wait"
        running.thread.join(60)
        assert not running.thread.is_alive()


def test_stop_waits_no_longer_than_its_limit(run, monkeypatch) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 0)
    running = run()
    with running.connect(GET.replace(b" / ", b" /wait ") + b"\r\n"):
        running.application.arrived.acquire()
        running.server.stop()
        running.thread.join(60)
        assert not running.thread.is_alive()


def test_threads_are_started_when_they_are_needed(run) -> None:
    running = run()
    busy = [running.connect(GET.replace(b" / ", b" /wait ") + b"\r\n") for _ in range(70)]
    with closing(busy):
        for _ in range(server.WEB_THREADS):
            running.application.arrived.acquire()
        assert len(running.server.task_dispatcher.threads) == server.WEB_THREADS
        running.application.may_go_on.set()
        assert {answer_of(connection)[0] for connection in busy} == {200}


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_whom_an_address_belongs_to(address: str, block: str) -> None:
    assert channels.address_block(address) == block
