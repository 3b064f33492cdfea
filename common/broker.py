"""Sends tasks to the Celery workers."""

import logging
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def send_task(name: str, *arguments: Any, expires_s: float) -> bool:
    """Send a task and return True; log and return False where the broker does not answer.

    A worker that receives the message more than `expires_s` seconds later drops it. Every message
    expires, so that no queue grows while its worker is away: what has to be done stands in a row of
    the database, and beat sends it again.
    """
    try:
        current_app.send_task(name, arguments, expires=expires_s)
    except OperationalError as error:
        logger.warning("%s%s was not sent: %s", name, arguments, error)
        return False
    return True
