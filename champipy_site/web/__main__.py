"""Starts the web process: listens, and serves Django until SIGTERM."""

import argparse
import logging
import os
import resource
import signal

from champipy_site.web.server import Server, listen

logger = logging.getLogger("champipy_site.web")

MAX_CONNECTIONS = 1000
SPARE_FILES = 300


def raise_file_limit() -> int:
    """Allow as many open files as the machine does; return how many connections that allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * MAX_CONNECTIONS + SPARE_FILES  # a socket, and two files for bodies
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(MAX_CONNECTIONS, max(100, (files - SPARE_FILES) // 3))


def main() -> None:
    """Serve Django until SIGTERM, then finish the requests that have begun."""
    parser = argparse.ArgumentParser(prog="python -m champipy_site.web", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()

    from django.conf import settings

    from champipy_site.wsgi import application
    from common.metric_totals import publish, start_publishing
    from common.tracing import name_process, stop_tracing

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
    name_process("web")
    start_publishing()
    server.run()
    publish()
    stop_tracing()


if __name__ == "__main__":
    main()
