"""Sends tasks to the Celery workers."""

import logging
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

from common.request_id import request_id
from common.tracing import current_trace_parent

logger = logging.getLogger(__name__)


def send_task(
    name: str,
    *arguments: Any,
    expires_s: float,
    delay_s: float = 0,
    for_request: str | None = None,
    trace_parent: str = "",
) -> bool:
    """Send a task and return True. If the broker does not answer, log that and return False.

    What the task logs names the request with the id `for_request`, and its span belongs to that of
    `trace_parent` (`common.tracing`); by default these are the present ones, with "" none. The
    worker runs it no earlier than after `delay_s` seconds; until then it holds no thread. A worker
    that receives the message more than `expires_s` seconds later drops it. Every message expires,
    so that no queue grows while its worker is away. No work is lost: it is recorded in a database
    row, and beat sends it again.
    """
    try:
        headers = (
            {"request_id": for_request, "trace_parent": trace_parent}
            if for_request is not None
            else {"request_id": request_id.get(), "trace_parent": current_trace_parent()}
        )
        current_app.send_task(
            name, arguments, expires=expires_s, countdown=delay_s or None, headers=headers
        )
    except OperationalError as error:
        logger.warning("%s%s was not sent: %s", name, arguments, error)
        return False
    return True
