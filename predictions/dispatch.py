"""Sends pending predictions to the workers, and announces a new version in production."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from common.broker import send_task
from predictions.models import Prediction
from predictions.scoring_wakeup import is_message_needed

Send = Callable[[Prediction], None]

FETCH_TASK = "predictions.tasks.fetch_prediction"
INFER_TASK = "predictions.tasks.infer_prediction"
SCORE_TASK = "predictions.tasks.score_predictions"
LOAD_ENGINE_TASK = "predictions.tasks.load_production_engine"
FETCH_RESEND_PAUSE_S = 15.0
"""A fetch without an answer is sent again after this time: its deadline plus time in the queue."""
INFERENCE_RESEND_PAUSE_S = 5.0
"""The same for scoring, which takes 0.1 seconds and is killed after 15."""
MAX_RESEND_PAUSE_S = 60.0
"""The pause doubles with each send, up to this."""
EXPIRES_S = 120.0
"""Twice the longest pause between two sends of a prediction. So the queue holds at most three of
its messages, however long its worker is away."""


def schedule_resend(prediction: Prediction) -> None:
    """Set when to send the prediction again, without saving it: later after each send."""
    pause = INFERENCE_RESEND_PAUSE_S if prediction.sha256 else FETCH_RESEND_PAUSE_S
    pause = min(pause * 2 ** min(prediction.sends, 10), MAX_RESEND_PAUSE_S)
    prediction.sends = min(prediction.sends + 1, 1000)
    prediction.next_send_at = timezone.now() + timedelta(seconds=pause)


def schedule_fetch(prediction: Prediction, *, at: datetime) -> None:
    """Set when the photo is to be fetched, and when to send it again, without saving it."""
    prediction.fetch_at, prediction.sends = at, 0
    prediction.next_send_at = at + timedelta(seconds=FETCH_RESEND_PAUSE_S)


def send_to_worker(prediction: Prediction) -> None:
    """Send the prediction to `inference` if its photo is stored, else to `fetch`, after commit.

    `inference` is only told that photos wait, unless the prediction was sent before: then it gets
    a message of its own. `fetch` begins at `fetch_at`, if that is set. An unavailable broker is not
    an error: the row stays, and `predictions_resend` sends it later. Whoever sends it, the workers'
    logs name the request that made it.
    """
    if prediction.sha256 and prediction.sends <= 1 and not prediction.attempts:
        transaction.on_commit(wake_scoring)
        return
    task, delay_s = (
        (INFER_TASK, 0.0) if prediction.sha256 else (FETCH_TASK, fetch_delay_s(prediction))
    )
    pk, for_request, trace_parent = prediction.pk, prediction.request_id, prediction.trace_parent
    transaction.on_commit(
        lambda: send_task(
            task,
            pk,
            expires_s=EXPIRES_S + delay_s,
            delay_s=delay_s,
            for_request=for_request,
            trace_parent=trace_parent,
        )
    )


def wake_scoring() -> None:
    """Have a worker `inference` score what waits."""
    if is_message_needed():
        send_scoring()


def send_scoring() -> None:
    """Send a worker `inference` the message to score what waits, for whoever asked for it."""
    send_task(SCORE_TASK, expires_s=EXPIRES_S, for_request="")


def fetch_delay_s(prediction: Prediction) -> float:
    """Return in how many seconds the turn comes to fetch the prediction's photo."""
    if prediction.fetch_at is None:
        return 0.0
    return max(0.0, (prediction.fetch_at - timezone.now()).total_seconds())


def announce_production_version() -> None:
    """After commit, have `inference` load the version in production before the next photo comes.

    If the broker is unavailable, the first photo waits for the loading.
    """
    transaction.on_commit(lambda: send_task(LOAD_ENGINE_TASK, expires_s=EXPIRES_S))
