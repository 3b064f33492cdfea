"""Sends pending predictions to the workers, and announces a new version in production."""

from collections.abc import Callable

from django.db import transaction

from common.broker import send_task
from predictions.models import Prediction

Send = Callable[[Prediction], None]

FETCH_TASK = "predictions.tasks.fetch_prediction"
INFER_TASK = "predictions.tasks.infer_prediction"
LOAD_ENGINE_TASK = "predictions.tasks.load_production_engine"
EXPIRES_S = 120.0
"""Twice the longest pause between two sends of a prediction. So the queue holds at most three of
its messages, however long its worker is away."""


def send_to_worker(prediction: Prediction) -> None:
    """Send the prediction to `inference` if its photo is stored, else to `fetch`, after commit.

    An unavailable broker is not an error: the row stays, and `predictions_resend` sends it later.
    """
    task = INFER_TASK if prediction.sha256 else FETCH_TASK
    transaction.on_commit(lambda: send_task(task, prediction.pk, expires_s=EXPIRES_S))


def announce_production_version() -> None:
    """After commit, have `inference` load the version in production before the next photo comes.

    If the broker is unavailable, the first photo waits for the loading.
    """
    transaction.on_commit(lambda: send_task(LOAD_ENGINE_TASK, expires_s=EXPIRES_S))
