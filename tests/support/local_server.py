"""What the web servers of the tests have in common: they start, stop, and keep quiet."""

import threading
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Self


class QuietServer(ThreadingHTTPServer):
    """Serves each request in a thread of its own, and waits for these when it is closed."""

    daemon_threads = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: clients that give up, or are cut off, close the connection."""


class LocalServer:
    """Serves in a thread while it is entered; `closing` is set when it leaves."""

    def __init__(self, server: QuietServer) -> None:
        self.closing = threading.Event()
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()  # waits for the threads of open requests

    def serve_forever(self) -> None:
        self._server.serve_forever()
