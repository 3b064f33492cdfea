"""Brings the bytes of a photo from a URL that a user gave: the project's only HTTP client.

Whoever may name a URL may try to reach machines that only this server can reach, to hold up a
worker, or to fill its memory. So:

* one strict parser (`photo_urls`) decides what a URL says, and exactly that is connected to;
* only public addresses are connected to, at every redirect, and the address that was vetted is the
  one used: a name is not looked up a second time (DNS rebinding);
* time and bytes are counted on the socket, below HTTP: a host that drips its headers is cut off at
  the same moment as one that drips its photo.

It stands on urllib3's connections, a layer below requests: proxies, cookies, netrc, pools and
automatic redirects are not switched off but absent. It is thread-safe and uses no signals.
"""

import functools
import http.client
import io
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from typing import Any
from urllib.parse import urljoin

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.response import BaseHTTPResponse

from predictions.photo_urls import (
    FetchError,
    PhotoURL,
    canonical_photo_key,
    check_target,
    check_url,
    forbidden,
    is_public,
    literal_address,
    mushroom_observer_image_id,
    parse_url,
    smaller_original,
)

__all__ = [
    "FetchError",
    "canonical_photo_key",
    "check_url",
    "fetch_photo",
    "mushroom_observer_image_id",
]

USER_AGENT = "ChampiPy/0.1 (mushroom species identification)"
MAX_REDIRECTS = 3
HEADER_ALLOWANCE = 256 * 1024  # bytes on the wire beside the photo: headers and chunk sizes
MAX_ADDRESSES = 4  # addresses of one name that are tried

_PIECE = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_ENCODINGS = {"", "identity", "gzip", "x-gzip", "deflate"}
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
_lookups = threading.BoundedSemaphore(64)  # names being looked up at a time, stuck ones included


def _timeout() -> FetchError:
    return FetchError("image_timeout", "The photo did not arrive in time. Try later, or upload it.")


def _too_large(limit: int) -> FetchError:
    detail = f"The photo is over {limit / 1e6:g} MB. Give a smaller version of it."
    return FetchError("image_too_large", detail)


def _unreachable(reason: str) -> FetchError:
    return FetchError("image_unreachable", f"{reason} Try later, or upload the photo.")


def fetch_photo(
    url: str,
    *,
    allow: frozenset[str] = frozenset(),
    max_bytes: int = 10_000_000,
    deadline_s: float = 10.0,
) -> bytes:
    """Return the bytes behind `url`, whatever they are: nothing here looks whether it is a photo.

    `max_bytes` holds for what comes over the wire and for what it unpacks to. `deadline_s` seconds
    is for everything together: lookups, connecting, TLS, redirects (3 at most), headers and body.
    `allow` is as in `check_url`. Raises FetchError, and nothing else.
    """
    deadline = _Deadline(deadline_s)
    try:
        for _ in range(MAX_REDIRECTS + 1):
            target = smaller_original(parse_url(url))
            check_target(target, allow)
            answer = _get(target, _addresses(target, allow, deadline), deadline, max_bytes)
            if isinstance(answer, bytes):
                return answer
            url = urljoin(target.url, answer)
    except FetchError:
        raise
    except (TimeoutError, Urllib3TimeoutError) as exc:
        raise _timeout() from exc
    except (OSError, HTTPError, http.client.HTTPException, ValueError, RuntimeError) as exc:
        raise _unreachable("The photo's host could not be reached or broke off.") from exc
    raise _unreachable(f"The URL redirects more than {MAX_REDIRECTS} times.")


class _Deadline:
    """A moment after which everything ends."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, above 0; FetchError("image_timeout") when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise _timeout()
        return left


def _addresses(target: PhotoURL, allow: frozenset[str], deadline: _Deadline) -> list[Any]:
    """Return `(family, sockaddr)` of the host's addresses, all of them vetted.

    One address that isn't public refuses them all: an honest photo host has none, and a name that
    mixes them is trying its luck, or belongs to a network that shows two faces.
    """
    found = _look_up(target.host, target.port, deadline)
    addresses = [(family, address) for family, _, _, _, address in found]
    if target.address not in allow:
        for _, address in addresses:
            literal = literal_address(str(address[0]))
            if literal is None or not is_public(literal):
                raise forbidden("its host is not public.")
    return addresses[:MAX_ADDRESSES]


def _look_up(host: str, port: int, deadline: _Deadline) -> list[Any]:
    """Call getaddrinfo, which has no timeout, in a thread that may be left behind.

    Such a thread ends when the system's resolver gives up (tens of seconds); there are 64 at most.
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
    except RuntimeError:  # no more threads to be had
        _lookups.release()
        raise
    try:
        return answer.result(timeout=deadline.remaining())
    except socket.gaierror as exc:
        if exc.errno == socket.EAI_AGAIN:
            raise _unreachable("The photo's host could not be looked up just now.") from exc
        detail = "There is no host of this name. Check the URL."
        raise FetchError("image_not_found", detail) from exc


def _connected_socket(addresses: list[Any], deadline: _Deadline) -> socket.socket:
    """Connect to the first address that answers. Each may take its share of the time left."""
    error: OSError = OSError("the name has no address")
    for tried, (family, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.remaining() / (len(addresses) - tried))
            sock.connect(address)
            sock.settimeout(deadline.remaining())  # for a TLS handshake, all of it
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
    """Reads a socket until a deadline and up to a number of bytes, however they are dealt out."""

    def __init__(
        self, sock: socket.socket, raw: io.RawIOBase, deadline: _Deadline, max_bytes: int
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
    """http.client's parser of status, headers and chunks, over a `_BoundedReader`."""

    def __init__(
        self, sock: socket.socket, *, deadline: _Deadline, max_bytes: int, **kwargs: Any
    ) -> None:
        super().__init__(sock, **kwargs)
        reader = _BoundedReader(sock, self.fp.detach(), deadline, max_bytes)
        self.fp = io.BufferedReader(reader)


class _Pinned:
    """Mixed into urllib3's connections: opens its socket to a vetted address, not by name.

    Host header, SNI and the certificate's check still go by the name.
    """

    addresses: list[Any]
    deadline: _Deadline

    def _new_conn(self) -> socket.socket:
        return _connected_socket(self.addresses, self.deadline)


class _PinnedHTTP(_Pinned, HTTPConnection): ...


class _PinnedHTTPS(_Pinned, HTTPSConnection): ...


@functools.cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


def _get(
    target: PhotoURL, addresses: list[Any], deadline: _Deadline, max_bytes: int
) -> bytes | str:
    """Send one GET. Return the body, or for a redirect the value of its Location header."""
    connection: _PinnedHTTP | _PinnedHTTPS
    if target.scheme == "https":
        connection = _PinnedHTTPS(target.host, target.port, ssl_context=_tls_context())
    else:
        connection = _PinnedHTTP(target.host, target.port)
    connection.addresses = addresses
    connection.deadline = deadline
    bounded = functools.partial(_BoundedResponse, deadline=deadline, max_bytes=max_bytes)
    connection.response_class = bounded  # type: ignore[assignment]
    with closing(connection):
        connection.timeout = deadline.remaining()
        connection.request("GET", target.path, headers=_HEADERS, preload_content=False)
        with closing(connection.getresponse()) as response:
            location = response.headers.get("Location")
            if response.status in _REDIRECTS and location is not None:
                return location.encode("latin-1").decode("utf-8", "replace").replace(" ", "%20")
            _check_answer(response, max_bytes)
            return _body(response, max_bytes)


def _check_answer(response: BaseHTTPResponse, max_bytes: int) -> None:
    if response.status in {404, 410}:
        detail = f"The photo's host has nothing there (status {response.status}). Check the URL."
        raise FetchError("image_not_found", detail)
    if response.status != 200:
        raise _unreachable(f"The photo's host answered with status {response.status}.")
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise _unreachable("The photo's host sent it packed in a way that was not asked for.")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > max_bytes:
        raise _too_large(max_bytes)


def _body(response: BaseHTTPResponse, max_bytes: int) -> bytes:
    """Read the body piece by piece; urllib3 unpacks no more than was asked for at a time."""
    body = bytearray()
    while piece := response.read(_PIECE, decode_content=True):
        body += piece
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)
