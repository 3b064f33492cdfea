"""Hands a pending prediction to the worker whose turn it is, and tells of a new version."""

from collections.abc import Callable

from django.db import transaction

from common.broker import send_task
from predictions.models import Prediction

Send = Callable[[Prediction], None]

FETCH_TASK = "predictions.tasks.fetch_prediction"
INFER_TASK = "predictions.tasks.infer_prediction"
LOAD_TASK = "predictions.tasks.load_production_engine"
EXPIRES_S = 120.0
"""Twice the longest pause after which a prediction is sent again: at most three of its messages
are in the queue, however long its worker is away."""


def send_to_worker(prediction: Prediction) -> None:
    """Send the prediction to `inference` if its bytes are here, else to `fetch`, after commit.

    A broker that is away is no error: the row waits, and `predictions_resend` sends it later.
    """
    task = INFER_TASK if prediction.sha256 else FETCH_TASK
    transaction.on_commit(lambda: send_task(task, prediction.pk, expires_s=EXPIRES_S))


def announce_switch() -> None:
    """Let `inference` load the version that is in production after commit, before a photo asks.

    Without this (a broker that is away) the first photo waits for it.
    """
    transaction.on_commit(lambda: send_task(LOAD_TASK, expires_s=EXPIRES_S))
