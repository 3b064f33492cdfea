"""The id of the request that is being answered, for the logs of all processes that work on it."""

import logging
import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-Id"
MAX_LENGTH = 128

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Empty outside of requests and of the tasks that they sent."""


def accepted_or_new(text: str) -> str:
    """Return a client's id if it is harmless in a log, else a new one."""
    return (
        text if re.fullmatch(rf"[A-Za-z0-9._~:+/=-]{{1,{MAX_LENGTH}}}", text) else uuid.uuid4().hex
    )


class RequestIdFilter(logging.Filter):
    """Gives log records `request_id`, and `request`: the id in brackets, or nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = request_id.get()
        record.request_id = current
        record.request = f" [{current}]" if current else ""
        return True
