"""Sends HTTP requests to hosts that must not be trusted. This is the project's only HTTP client.

A URL may have been given in order to reach machines that only this server can reach, to block a
worker, or to fill its memory. Therefore:

* One strict parser (`photo_urls`) reads the URL, and the connection uses exactly what it returns.
* Only public addresses are connected to, at every redirect. The checked address is the one that is
  used: a name is not looked up a second time (DNS rebinding).
* Time and bytes are limited at the socket, below HTTP, so that slow headers are cut off at the same
  deadline as a slow body.

It uses urllib3's connections, one layer below requests. There, proxies, cookies, netrc, pools and
automatic redirects do not exist, so they need not be turned off. It is thread-safe and uses no
signals.
"""

import functools
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import certifi
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.response import BaseHTTPResponse

from common.messages import Message
from predictions.photo_urls import (
    FetchError,
    PhotoURL,
    check_target,
    forbidden,
    is_public,
    literal_address,
)

HEADER_ALLOWANCE = 256 * 1024  # bytes received besides the body: headers and chunk sizes
MAX_ADDRESSES = 4  # how many addresses of a name are tried

_PIECE = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_ENCODINGS = {"", "identity", "gzip", "x-gzip", "deflate"}
_lookups = threading.BoundedSemaphore(64)  # simultaneous DNS lookups, including stuck ones


@dataclass(frozen=True)
class HTTPAnswer:
    """What a host answered. The body of a redirect or of an error is not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    location: str | None = None
    """Where a redirect leads, as the host wrote it."""


class Requests:
    """What is done around each request to a host, the redirected ones included. By default nothing.

    A method may raise an exception of its own; it reaches the caller as it is.
    """

    def before(self, target: PhotoURL) -> None:
        """Do what must be done before the host is connected to."""

    def sending(self, target: PhotoURL) -> None:
        """Do what must be done once it is connected, before anything is sent."""

    def after(self, target: PhotoURL, answer: HTTPAnswer) -> None:
        """Look at the answer."""


def http_request(
    target: PhotoURL,
    *,
    allow: frozenset[str],
    deadline: "Deadline",
    max_bytes: int,
    accept: str,
    method: str = "GET",
    form: bytes | None = None,
    requests: Requests | None = None,
    connect_s: float | None = None,
) -> HTTPAnswer:
    """Send one request and return the answer. A redirect is not followed.

    `max_bytes` limits both the received and the decompressed body. `allow` is as in `check_url`.
    `connect_s` limits the time until the host is connected to, within `deadline`.
    `form` is a body of the type application/x-www-form-urlencoded. Raises FetchError, and what
    `requests` raises.
    """
    requests = requests or Requests()
    headers = {
        "User-Agent": settings.CHAMPIPY_USER_AGENT,
        "Accept": accept,
        "Accept-Encoding": "identity",
    }
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    check_target(target, allow)
    requests.before(target)
    with _fetch_errors():
        connecting = deadline if connect_s is None else deadline.within(connect_s)
        addresses = host_addresses(target, allow, connecting)
        with closing(_connection(target, addresses, connecting, deadline, max_bytes)) as connection:
            connection.timeout = connecting.remaining()
            connection.connect()
            connection.sock.settimeout(deadline.remaining())
            requests.sending(target)
            connection.request(method, target.path, form, headers, preload_content=False)
            with closing(connection.getresponse()) as response:
                answer = _answer(response, max_bytes)
    requests.after(target, answer)
    return answer


@contextmanager
def _fetch_errors() -> Iterator[None]:
    """Raise FetchError instead of the errors of sockets and HTTP."""
    try:
        yield
    except FetchError:
        raise
    except (TimeoutError, Urllib3TimeoutError) as exc:
        raise _timeout() from exc
    except (OSError, HTTPError, http.client.HTTPException, ValueError, RuntimeError) as exc:
        raise unreachable(
            Message("The photo's host could not be reached, or closed the connection early.")
        ) from exc


def _timeout() -> FetchError:
    detail = Message("The photo did not arrive in time. Try again later, or upload it.")
    return FetchError("image_timeout", detail)


def _too_large(limit: int) -> FetchError:
    detail = Message(
        "The photo is larger than %(limit)g MB. Send a smaller version of it.", limit=limit / 1e6
    )
    return FetchError("image_too_large", detail)


def unreachable(reason: Message) -> FetchError:
    """Return the error for a host that gives no photo. `reason` is a sentence."""
    detail = Message("%(reason)s Try again later, or upload the photo.", reason=reason)
    return FetchError("image_unreachable", detail)


class Deadline:
    """The point in time at which a request must have ended."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, above 0. Raises FetchError("image_timeout") if none are left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise _timeout()
        return left

    def within(self, seconds: float) -> "Deadline":
        """Return a deadline that ends after so many seconds, but no later than this one."""
        return Deadline(min(seconds, self.remaining()))


def host_addresses(target: PhotoURL, allow: frozenset[str], deadline: Deadline) -> list[Any]:
    """Return `(family, sockaddr)` of the host's addresses after checking all of them.

    If one address isn't public, the host is refused: a real photo host has only public addresses,
    so a name that mixes them is an attack, or belongs to a network with an internal side.
    """
    found = _look_up(target.host, target.port, deadline)
    addresses = [(family, address) for family, _, _, _, address in found]
    if target.address not in allow:
        for _, address in addresses:
            literal = literal_address(str(address[0]))
            if literal is None or not is_public(literal):
                raise forbidden(Message("its host is not public."))
    return addresses[:MAX_ADDRESSES]


def _look_up(host: str, port: int, deadline: Deadline) -> list[Any]:
    """Call getaddrinfo in a thread and wait for it until the deadline; it has no timeout itself.

    A thread that is not waited for ends when the system's resolver gives up (after tens of
    seconds). At most 64 threads exist at a time.
    """
    answer: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as exc:
            answer.set_exception(exc)
        finally:
            _lookups.release()

    if not _lookups.acquire(timeout=deadline.remaining()):
        raise _timeout()
    try:
        threading.Thread(target=look_up, name="look-up", daemon=True).start()
    except RuntimeError:  # no more threads can be started
        _lookups.release()
        raise
    try:
        return answer.result(timeout=deadline.remaining())
    except socket.gaierror as exc:
        if exc.errno == socket.EAI_AGAIN:
            raise unreachable(
                Message("The name of the photo's host could not be looked up.")
            ) from exc
        detail = Message("There is no host with this name. Check the URL.")
        raise FetchError("image_not_found", detail) from exc


def _connected_socket(addresses: list[Any], deadline: Deadline) -> socket.socket:
    """Return a socket connected to the first address that answers.

    The time left is divided equally among the addresses not yet tried.
    """
    error: OSError = OSError("the name has no address")
    for tried, (family, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.remaining() / (len(addresses) - tried))
            sock.connect(address)
            sock.settimeout(deadline.remaining())  # a TLS handshake may take all of it
        except OSError as exc:
            sock.close()
            error = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a deadline and up to a number of bytes in total."""

    def __init__(
        self, sock: socket.socket, raw: io.RawIOBase, deadline: Deadline, max_bytes: int
    ) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._left = max_bytes + HEADER_ALLOWANCE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.remaining())
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise _too_large(self._max_bytes)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """http.client's parser of status, headers and chunks, reading from a `_BoundedReader`."""

    def __init__(
        self, sock: socket.socket, *, deadline: Deadline, max_bytes: int, **kwargs: Any
    ) -> None:
        super().__init__(sock, **kwargs)
        reader = _BoundedReader(sock, self.fp.detach(), deadline, max_bytes)
        self.fp = io.BufferedReader(reader)


class _Pinned:
    """Mixin for urllib3's connections that connects to a checked address instead of a name.

    The Host header, SNI and the certificate check still use the name.
    """

    addresses: list[Any]
    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        return _connected_socket(self.addresses, self.deadline)


class _PinnedHTTP(_Pinned, HTTPConnection): ...


class _PinnedHTTPS(_Pinned, HTTPSConnection): ...


@functools.cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


def _connection(
    target: PhotoURL,
    addresses: list[Any],
    connecting: Deadline,
    deadline: Deadline,
    max_bytes: int,
) -> "_PinnedHTTP | _PinnedHTTPS":
    connection: _PinnedHTTP | _PinnedHTTPS
    if target.scheme == "https":
        connection = _PinnedHTTPS(target.host, target.port, ssl_context=_tls_context())
    else:
        connection = _PinnedHTTP(target.host, target.port)
    connection.addresses = addresses
    connection.deadline = connecting
    bounded = functools.partial(_BoundedResponse, deadline=deadline, max_bytes=max_bytes)
    connection.response_class = bounded  # type: ignore[assignment]
    return connection


def _answer(response: BaseHTTPResponse, max_bytes: int) -> HTTPAnswer:
    """Return the answer, with its body where the status is 200."""
    location = response.headers.get("Location")
    if response.status in _REDIRECTS and location is not None:
        location = location.encode("latin-1").decode("utf-8", "replace").replace(" ", "%20")
        return HTTPAnswer(response.status, response.headers, location=location)
    if response.status != 200:
        return HTTPAnswer(response.status, response.headers)
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise unreachable(Message("The photo's host used a compression that was not requested."))
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > max_bytes:
        raise _too_large(max_bytes)
    return HTTPAnswer(200, response.headers, _body(response, max_bytes))


def _body(response: BaseHTTPResponse, max_bytes: int) -> bytes:
    """Return the body, read in pieces; urllib3 decompresses no more than one piece at a time."""
    body = bytearray()
    while piece := response.read(_PIECE, decode_content=True):
        body += piece
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)
