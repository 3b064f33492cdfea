"""Free TCP ports."""

import errno
import random
import socket

from champipy_site.stack.state import StackError

# Below the ports that systems give to outgoing connections, so that a port kept from one start to
# the next is seldom taken in between.
KEPT_PORTS = range(20000, 30000)


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there now; an impossible address is a StackError."""
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
            f"--host {host} is no address of this machine: {error.strerror}."
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise StackError(
            f"Nothing can listen on {host}, port {port}: {error.strerror}. "
            "Choose others with --host and --port."
        ) from error
    return True


def choose_port(kept: int | None = None) -> int:
    """Return the kept port while it is free on 127.0.0.1, else another one that is."""
    candidates = random.sample(KEPT_PORTS, 200)
    for port in [kept, *candidates] if kept else candidates:
        if is_free("127.0.0.1", port):
            return port
    raise StackError(
        f"Of 200 ports between {KEPT_PORTS.start} and {KEPT_PORTS.stop} on 127.0.0.1 none is free."
    )
