"""Hands a pending prediction to the worker whose turn it is."""

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


def send_to_worker(prediction: Prediction) -> None:
    """Send the prediction to `inference` if its bytes are here, else to `fetch`, after commit.

    A broker that is away is no error: the row waits, and `predictions_resend` sends it later.
    """
    task = INFER_TASK if prediction.sha256 else FETCH_TASK
    transaction.on_commit(lambda: _send(task, prediction.pk))


def _send(task: str, prediction_id: int) -> None:
    try:
        current_app.send_task(task, (prediction_id,))
    except OperationalError as error:
        logger.warning("Prediction %s waits for the broker: %s", prediction_id, error)
