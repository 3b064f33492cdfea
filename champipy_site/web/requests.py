"""Requests while they arrive: what of them is kept, and what a malformed one is answered."""

import io
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import FixedStreamReceiver
from waitress.task import ErrorTask
from waitress.utilities import BadRequest, RequestEntityTooLarge

from common.errors import error_body
from common.uploads import MAX_BODY_BYTES, max_body_bytes

MAX_HEADER_BYTES = 32_768
MAX_CHUNK_LINE_BYTES = 8_192
MAX_READ_BYTES = 50_000_000
"""A body up to this size, or twice the limit of its path, is read, and thrown away.

So its sender gets the error.
"""

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
    command: str
    path: str
    max_bytes = MAX_BODY_BYTES
    """The most that is kept of the body, as soon as the header is known."""
    content_length: int
    body_rcv: Any

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a URI or a number that Python can't parse
            raise ParsingError("Start line or Content-Length is invalid") from error
        self.max_bytes = max_body_bytes(self.command, self.path)
        if self.content_length > max(MAX_READ_BYTES, 2 * self.max_bytes):
            self.body_rcv = None
            self.headers["CONNECTION"] = "close"
        elif self.content_length > self.max_bytes:
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
            elif self.body_bytes_received > self.max_bytes:
                self.error = RequestEntityTooLarge(f"The limit is {self.max_bytes} bytes.")
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
