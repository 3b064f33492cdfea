"""Writes the answers of predictions, and waits for them."""

import time

from django.utils import timezone

from predictions.errors import PredictionRefused
from predictions.incoming import incoming_delete
from predictions.models import Inference, Prediction
from predictions.selectors import answered_predictions
from predictions.wakeup import MAX_WAKEUP_WAIT_S, announce_answer, wait_for_answer


def prediction_finish(
    prediction: Prediction,
    *,
    inference: Inference | None = None,
    reused: bool = False,
    error: PredictionRefused | None = None,
) -> None:
    """Write the answer, unless another worker was faster; then wake the waiting request."""
    answer = {
        "status": Prediction.Status.FAILED if error else Prediction.Status.DONE,
        "error_code": error.code if error else "",
        "error_detail": error.detail if error else "",
        "inference": inference,
        "reused": reused,
        "sha256": prediction.sha256,
        "next_send_at": None,
        "finished_at": timezone.now(),
    }
    for field, value in answer.items():
        setattr(prediction, field, value)
    if prediction.pk is None:
        prediction.save()
        return
    Prediction.objects.filter(pk=prediction.pk, status=Prediction.Status.PENDING).update(**answer)
    incoming_delete(prediction.pk)
    announce_answer(prediction.pk)


def prediction_wait(*, prediction: Prediction, timeout_s: float) -> Prediction:
    """Wait for the answer for at most `timeout_s` seconds; return the prediction, reread."""
    deadline = time.monotonic() + timeout_s
    while prediction.status == Prediction.Status.PENDING:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        wait_for_answer(prediction.pk, min(left, MAX_WAKEUP_WAIT_S))
        prediction = answered_predictions().get(pk=prediction.pk)
    return prediction
