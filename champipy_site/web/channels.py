"""Connections: how long a client may take to send a request and to take its response."""

import contextlib
import ipaddress
import socket
import time
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel

from champipy_site.web.requests import CODES, JsonErrorTask, Request
from common.errors import error_body

if TYPE_CHECKING:
    from champipy_site.web.server import Server

HEADER_SECONDS = 10
BODY_SECONDS = 20
BODY_BYTES_A_SECOND = 50_000
"""The body's deadline moves by a second for each such portion of it."""
MAX_SECONDS = 120
"""For a whole request, and for the client to take a whole response."""
IDLE_SECONDS = 15


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


def address_block(address: str) -> str:
    """Return whom an address belongs to: an IPv4 address itself, or the /64 of an IPv6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
