"""The server: accepts connections, and closes those that are late or too many."""

import logging
import socket
import time
from collections.abc import Callable, Iterable

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from champipy_site.web.channels import Channel, address_block
from champipy_site.web.requests import MAX_HEADER_BYTES, MAX_READ_BYTES
from common.uploads import MAX_OBSERVATION_BYTES

logger = logging.getLogger(__name__)

WEB_THREADS = 64
STOP_SECONDS = 35
"""How long requests may go on after SIGTERM. A request waits up to 30 s for its prediction."""
MAX_BUFFERED_BYTES = 500_000_000
"""Of all bodies together; they are in memory up to 64 kB each, then in temporary files."""
ACCEPTED_AT_ONCE = 64
CHECK_SECONDS = 1.0


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
            max_request_body_size=max(MAX_READ_BYTES, 2 * MAX_OBSERVATION_BYTES) + 1,
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


def close_longest_waiting(channels: Iterable[Channel]) -> bool:
    """Close the connection that waits longest; return False if threads work for all of them."""
    waiting = [channel for channel in channels if not channel.is_busy()]
    if not waiting:
        return False
    min(waiting, key=lambda channel: channel.waits_since).give_up()
    return True


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. `::` takes IPv4, too."""
    is_ipv6 = ":" in host
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        backlog=1024,
        dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
    )
