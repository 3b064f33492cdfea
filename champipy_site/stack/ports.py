"""Finding free TCP ports."""

import errno
import ipaddress
import random
import socket

from champipy_site.stack.state import StackError

# Below the ports that systems use for outgoing connections, so that a port which is kept from one
# start to the next is rarely taken in between.
KEPT_PORTS = range(20000, 30000)


def is_free(host: str, port: int) -> bool:
    """Return whether a server can listen there; raise StackError for an impossible address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
    except socket.gaierror as error:
        raise StackError(
            f"--host {host} is not an address of this machine: {error.strerror}."
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise StackError(
            f"No server can listen on {host}, port {port}: {error.strerror}. "
            "Choose another address with --host and --port."
        ) from error
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on the host."""
    if not host:
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def choose_port(kept: int | None = None) -> int:
    """Return the kept port if it is free on 127.0.0.1, otherwise a random free one.

    Raise StackError if none of 200 ports is free.
    """
    candidates = random.sample(KEPT_PORTS, 200)
    for port in [kept, *candidates] if kept else candidates:
        if is_free("127.0.0.1", port):
            return port
    raise StackError(
        f"None of 200 ports from {KEPT_PORTS.start} to {KEPT_PORTS.stop} on 127.0.0.1 is free. "
        "Stop the programs that use them, or set DATABASE_URL and REDIS_URL."
    )
