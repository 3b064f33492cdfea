"""Writes the answers of predictions, and waits for them."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from predictions.errors import PredictionRefused
from predictions.incoming import incoming_delete
from predictions.inference_services import inference_ask
from predictions.models import Inference, Prediction
from predictions.selectors import answered_predictions
from predictions.verdicts import verdict_on
from predictions.wakeup import MAX_WAKEUP_WAIT_S, announce_answers, wait_for_answer

logger = logging.getLogger(__name__)


class PredictionDeleted(Exception):  # noqa: N818 - an answer, not a fault
    """A prediction was deleted while somebody waited for it."""


WhenAnswered = Callable[[Sequence[int]], object]

_when_answered: list[WhenAnswered] = []


def call_when_answered(function: WhenAnswered) -> None:
    """Register what to do with the ids of predictions after a worker has answered them.

    The apps above this one call it when they are loaded. The process may die before the call, so it
    can only be the quick way to what a periodic task does, too.
    """
    _when_answered.append(function)


def prediction_finish(
    prediction: Prediction,
    *,
    inference: Inference | None = None,
    reused: bool = False,
    error: PredictionRefused | None = None,
) -> bool:
    """Write the answer and wake the waiting request; return whether this answer was written.

    It is not if another worker was faster, or if the prediction was deleted meanwhile. A person's
    answer from an inference that was made in the background has its photo judged for training.
    """
    is_new = prediction.pk is None
    is_written = answer_write(prediction, inference=inference, reused=reused, error=error)
    if not is_new:
        answers_announce([prediction], written=[prediction] if is_written else [])
    return is_written


def answer_write(
    prediction: Prediction,
    *,
    inference: Inference | None = None,
    reused: bool = False,
    error: PredictionRefused | None = None,
) -> bool:
    """Write an answer as `prediction_finish` does, but wake nobody: see `answers_announce`."""
    answer = {
        "status": Prediction.Status.FAILED if error else Prediction.Status.DONE,
        "error_code": error.code if error else "",
        "error_detail": error.detail if error else "",
        "inference": inference,
        "verdict": _verdict(prediction, inference),
        "reused": reused,
        "sha256": prediction.sha256,
        "next_send_at": None,
        "finished_at": timezone.now(),
    }
    for field, value in answer.items():
        setattr(prediction, field, value)
    logger.info(
        "prediction %s (%s) in %s ms", prediction.pk, prediction.status, prediction.duration_ms
    )
    if prediction.pk is None:
        prediction.save()
        is_written = True
    else:
        pending = Prediction.objects.filter(pk=prediction.pk, status=Prediction.Status.PENDING)
        is_written = bool(pending.update(**answer))
    if is_written:
        _judge_photo(prediction, inference)
    return is_written


def answers_announce(predictions: Sequence[Prediction], *, written: Sequence[Prediction]) -> None:
    """Forget the sent bytes of answered predictions, wake who waits for them, and tell the apps.

    `written`: those whose answers were written here. Call it once these are committed.
    """
    told = {prediction.pk for prediction in written}
    announce_answers({each.pk: each if each.pk in told else None for each in predictions})
    for prediction in predictions:
        incoming_delete(prediction.pk)  # in an object store this takes a while; nobody waits for it
    if written:
        for function in _when_answered:
            function([prediction.pk for prediction in written])


def _judge_photo(prediction: Prediction, inference: Inference | None) -> None:
    """Have the photo judged for training after commit, if nobody has asked for it before."""
    if inference is None or not inference.is_background or prediction.is_background:
        return
    user = prediction.user
    transaction.on_commit(lambda: inference_ask(inference=inference, user=user), robust=True)


def _verdict(prediction: Prediction, inference: Inference | None) -> dict[str, Any] | None:
    if inference is None or not prediction.proposed:
        return None
    return verdict_on(
        proposed=prediction.proposed, species=prediction.proposed_species, inference=inference
    )


def prediction_wait(*, prediction: Prediction, timeout_s: float) -> Prediction:
    """Wait for the answer for at most `timeout_s` seconds; return the prediction with it.

    Raises PredictionDeleted if its user deletes it meanwhile.
    """
    deadline = time.monotonic() + timeout_s
    while prediction.status == Prediction.Status.PENDING:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        if wait_for_answer(prediction, min(left, MAX_WAKEUP_WAIT_S)):
            break
        reread = answered_predictions().filter(pk=prediction.pk).first()
        if reread is None:
            raise PredictionDeleted
        prediction = reread
    return prediction
