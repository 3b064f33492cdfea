"""The web process: waitress, with deadlines and limits for clients that are slow on purpose.

    python -m champipy_site.web --host 127.0.0.1 --port 8000

One thread receives all requests and sends all responses; a thread of WEB_THREADS works on a request
once it has arrived as a whole. So a slow client costs a connection, and never a thread.
docs/adr/0011-a-server-that-buffers.md says why.
"""

import argparse
import contextlib
import io
import ipaddress
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import FixedStreamReceiver
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.utilities import BadRequest, RequestEntityTooLarge

from common.errors import error_body
from common.uploads import MAX_BODY_BYTES

logger = logging.getLogger(__name__)

WEB_THREADS = 64
STOP_SECONDS = 35
"""How long requests may go on after SIGTERM. A request waits up to 30 s for its prediction."""

HEADER_SECONDS = 10
BODY_SECONDS = 20
BODY_BYTES_A_SECOND = 50_000
"""The body's deadline moves by a second for each such portion of it."""
MAX_SECONDS = 120
"""For a whole request, and for the client to take a whole response."""
IDLE_SECONDS = 15

MAX_CONNECTIONS = 1000
MAX_BUFFERED_BYTES = 500_000_000
"""Of all bodies together; they are in memory up to 64 kB each, then in temporary files."""
MAX_HEADER_BYTES = 32_768
MAX_CHUNK_LINE_BYTES = 8_192
MAX_READ_BYTES = 50_000_000
"""A body up to this size is read, and thrown away, so that its sender gets the error."""

SPARE_FILES = 300
ACCEPTED_AT_ONCE = 64
CHECK_SECONDS = 1.0

CODES = {
    400: "bad_request",
    408: "request_timeout",
    413: "request_too_large",
    431: "request_headers_too_large",
    501: "not_implemented",
}


class Discarded(io.BytesIO):
    """Takes the place of the buffer of a body that is too large to be kept."""

    def append(self, data: bytes) -> None:
        """Throw the data away."""

    def __len__(self) -> int:
        return 0

    def getfile(self) -> io.BytesIO:
        return self

    def getbuf(self) -> io.BytesIO:
        return self


class Request(HTTPRequestParser):
    """A request while it arrives.

    Django gets a body that is too large as an empty one; by its Content-Length it refuses the
    request as it would have done anyway, with the error of that path and user.
    """

    completed: bool
    content_length: int
    body_rcv: Any

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a URI or a number that Python can't parse
            raise ParsingError("Start line or Content-Length is invalid") from error
        if self.content_length > MAX_READ_BYTES:
            self.body_rcv = None
            self.headers["CONNECTION"] = "close"
        elif self.content_length > MAX_BODY_BYTES:
            self.body_rcv = FixedStreamReceiver(self.content_length, Discarded())
        self.content_length = 0  # waitress would compare it with limits of its own
        if self.body_rcv is None:
            self.expect_continue = False

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        if self.chunked and not self.completed:
            line = len(self.body_rcv.control_line) + len(self.body_rcv.trailer)
            if line > MAX_CHUNK_LINE_BYTES:
                self.error = BadRequest("A chunk's size or the trailer is too long.")
            elif self.body_bytes_received > MAX_BODY_BYTES:
                self.error = RequestEntityTooLarge(f"The limit is {MAX_BODY_BYTES} bytes.")
            self.completed = self.error is not None
        return consumed

    def buffered(self) -> int:
        """Return how many bytes of the body are kept in memory or in a file."""
        return len(self.body_rcv) if self.body_rcv is not None else 0


class JsonErrorTask(ErrorTask):
    """Answers a request that is no proper HTTP."""

    def execute(self) -> None:
        error = self.request.error
        body = error_body(error.code, CODES.get(error.code, "error"), error.body)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):
    """A connection; it knows since when it waits for its client."""

    parser_class = Request
    error_task_class = JsonErrorTask

    def __init__(self, server: "Server", sock: socket.socket, addr: Any, **options: Any) -> None:
        self.waits_since = time.monotonic()
        self.block = address_block(addr[0])
        super().__init__(server, sock, addr, server.adj, **options)

    def received(self, data: bytes) -> bool:
        before = self.request
        answer = bool(super().received(data))
        if self.request is not None and self.request is not before:
            self.waits_since = time.monotonic()
        return answer

    def write_soon(self, data: Any) -> int:
        self.waits_since = time.monotonic()
        return int(super().write_soon(data))

    def is_sending(self) -> bool:
        return bool(self.total_outbufs_len or self.close_when_flushed)

    def is_busy(self) -> bool:
        """Return whether a thread works on a request, or one waits for a thread."""
        return bool(self.requests)

    def is_receiving(self) -> bool:
        """Return whether a request has begun to arrive."""
        return self.request is not None

    def allowed_seconds(self) -> float:
        """Return how long the client may take for what the connection waits for."""
        if self.is_sending():
            return MAX_SECONDS
        if self.request is None:
            return IDLE_SECONDS
        if not self.request.headers_finished:
            return HEADER_SECONDS
        arrived = self.request.body_bytes_received / BODY_BYTES_A_SECOND
        return min(BODY_SECONDS + arrived, MAX_SECONDS)

    def is_late(self, now: float) -> bool:
        return not self.is_busy() and now - self.waits_since > self.allowed_seconds()

    def give_up(self) -> None:
        """Close the connection; say so to a client that has sent a part of a request."""
        if self.is_receiving() and not self.is_sending():
            body = error_body(408, CODES[408], "The request did not arrive in time. Send it again.")
            head = (
                "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                self.socket.send(head.encode() + body)
        self.handle_close()

    def handle_close(self) -> None:
        if self.socket is None:
            return
        if not self.is_busy() and self.request is not None:
            self.request.close()
        super().handle_close()


class Threads(ThreadedTaskDispatcher):
    """Starts a thread only when no other is free: each keeps a connection to the database."""

    def add_task(self, task: Channel) -> None:
        with self.lock:
            free = len(self.threads) - self.stop_count - self.active_count
            is_short = len(self.queue) >= free and len(self.threads) < WEB_THREADS
        if is_short:
            self.set_thread_count(len(self.threads) + 1)
        super().add_task(task)


class Server(TcpWSGIServer):
    """Listens on a socket; closes connections that are late or too many."""

    def __init__(
        self, application: Callable, listener: socket.socket, *, per_address: int, limit: int
    ) -> None:
        self.per_address, self.limit = per_address, limit
        self.has_arrivals = False
        self.next_check = 0.0
        self.stop_by: float | None = None
        adjustments = Adjustments(
            threads=WEB_THREADS,
            recv_bytes=65_536,
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=MAX_READ_BYTES + 1,
            inbuf_overflow=65_536,
            outbuf_overflow=262_144,
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,  # Django decides on them: TRUSTED_PROXIES
            ident=None,
        )
        super().__init__(
            application,
            _sock=listener,
            bind_socket=False,
            dispatcher=Threads(),
            adj=adjustments,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )

    def channels(self) -> list[Channel]:
        return list(self.active_channels.values())

    def readable(self) -> bool:
        return bool(self.accepting)

    def handle_accept(self) -> None:
        # Connections are accepted and closed between two polls only. Within one, a new connection
        # could get the number of a closed one, and with it the closed one's event.
        self.has_arrivals = True

    def accept_arrivals(self) -> None:
        """Accept the connections that have arrived, in portions."""
        self.has_arrivals = False
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                pair = self.accept()
                if pair is None:
                    return
                self.set_socket_options(pair[0])
            except OSError as error:
                logger.warning("A connection could not be accepted: %s", error)
                return
            if self.make_room(address_block(pair[1][0])):
                Channel(self, *pair, map=self._map)
            else:
                pair[0].close()

    def make_room(self, block: str) -> bool:
        """Close a waiting connection where there are too many; return whether there is room."""
        channels = self.channels()
        of_block = [channel for channel in channels if channel.block == block]
        if len(of_block) >= self.per_address:
            return close_longest_waiting(of_block)
        return len(channels) < self.limit or close_longest_waiting(channels)

    def check_channels(self) -> None:
        """Close late connections, and the slowest uploads if all together take too much."""
        now = time.monotonic()
        if now < self.next_check:
            return
        self.next_check = now + CHECK_SECONDS
        for channel in self.channels():
            if channel.is_late(now):
                channel.give_up()
        buffered = {
            channel: sum(
                request.buffered()
                for request in (channel.request, *channel.requests)
                if request is not None
            )
            for channel in self.channels()
        }
        while sum(buffered.values()) > MAX_BUFFERED_BYTES:
            uploading = [each for each, size in buffered.items() if size and not each.is_busy()]
            if not uploading:
                return
            slowest = min(uploading, key=lambda each: each.waits_since)
            slowest.give_up()
            del buffered[slowest]

    def stop(self) -> None:
        """Have `run` return once the requests that have begun are answered."""
        self.stop_by = self.stop_by or time.monotonic() + STOP_SECONDS
        self.pull_trigger()

    def is_finished(self) -> bool:
        """Return whether nothing is left to do; once stopping, close what waits for a request."""
        if self.stop_by is None:
            return False
        if self.accepting:
            wasyncore.dispatcher.close(self)
        for channel in self.channels():
            has_begun = channel.is_receiving() and channel.request.headers_finished
            if not (channel.is_busy() or channel.is_sending() or has_begun):
                channel.give_up()
        return not self.channels() or time.monotonic() > self.stop_by

    def run(self) -> None:
        while not self.is_finished():
            wasyncore.poll2(CHECK_SECONDS, self._map)
            self.check_channels()
            if self.has_arrivals and self.accepting:
                self.accept_arrivals()


def address_block(address: str) -> str:
    """Return whom an address belongs to: an IPv4 address itself, or the /64 of an IPv6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def close_longest_waiting(channels: Iterable[Channel]) -> bool:
    """Close the connection that waits longest; return False if threads work for all of them."""
    waiting = [channel for channel in channels if not channel.is_busy()]
    if not waiting:
        return False
    min(waiting, key=lambda channel: channel.waits_since).give_up()
    return True


def raise_file_limit() -> int:
    """Allow as many open files as the machine does; return how many connections that allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * MAX_CONNECTIONS + SPARE_FILES  # a socket, and two files for bodies
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(MAX_CONNECTIONS, max(100, (files - SPARE_FILES) // 3))


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. `::` takes IPv4, too."""
    is_ipv6 = ":" in host
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        backlog=1024,
        dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
    )


def main() -> None:
    """Serve Django until SIGTERM, then finish the requests that have begun."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()

    from django.conf import settings

    from champipy_site.wsgi import application

    server = Server(
        application,
        listen(options.host, options.port),
        per_address=settings.CHAMPIPY_CONNECTIONS_PER_ADDRESS,
        limit=raise_file_limit(),
    )
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: server.stop())
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(128 + signal.SIGQUIT))
    logger.info("Listening on %s:%s", server.effective_host, server.effective_port)
    server.run()


if __name__ == "__main__":
    main()
