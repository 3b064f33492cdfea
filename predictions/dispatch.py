"""Hands a pending prediction to the worker whose turn it is, and tells of a new version."""

import logging
from collections.abc import Callable

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from predictions.models import Prediction

logger = logging.getLogger(__name__)

Send = Callable[[Prediction], None]

FETCH_TASK = "predictions.tasks.fetch_prediction"
INFER_TASK = "predictions.tasks.infer_prediction"
LOAD_TASK = "predictions.tasks.load_production_engine"


def send_to_worker(prediction: Prediction) -> None:
    """Send the prediction to `inference` if its bytes are here, else to `fetch`, after commit.

    A broker that is away is no error: the row waits, and `predictions_resend` sends it later.
    """
    task = INFER_TASK if prediction.sha256 else FETCH_TASK
    transaction.on_commit(lambda: _send(task, prediction.pk))


def announce_switch() -> None:
    """Let `inference` load the version that is in production after commit, before a photo asks.

    Without this (a broker that is away) the first photo waits for it.
    """
    transaction.on_commit(lambda: _send(LOAD_TASK))


def _send(task: str, *arguments: int) -> None:
    try:
        current_app.send_task(task, arguments)
    except OperationalError as error:
        logger.warning("%s%s cannot be sent to the broker: %s", task, arguments, error)
