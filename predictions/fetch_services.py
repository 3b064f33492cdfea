"""What worker `fetch` does for a pending prediction of a URL. It may run twice."""

import hashlib
import logging
from datetime import datetime

from django.conf import settings
from django.db import transaction

from common.storage import StorageUnavailable
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from predictions.answer_services import prediction_finish
from predictions.dispatch import Send, schedule_fetch, send_to_worker
from predictions.errors import PredictionRefused
from predictions.fair_shares import place_take, share_of, waiting_send
from predictions.fetching import FetchError, fetch_photo
from predictions.incoming import incoming_delete, incoming_write
from predictions.models import Prediction
from predictions.photo_turns import FetchLater, PhotoTurns
from predictions.quotas import quota_return, quota_take
from predictions.selectors import (
    remembered_sha256,
    stored_inference,
)
from predictions.source_services import sources_remember
from predictions.storage_space import check_space, refuse_when_full

logger = logging.getLogger(__name__)

FETCH_DEADLINE_S = 10.0


def prediction_fetch(*, prediction_id: int, send: Send = send_to_worker) -> None:
    """Fetch the photo of a pending prediction's URL, then answer it or send it on to be scored.

    It is answered here if fetching fails or the photo's inference is stored. Then the next
    predictions of the same user are sent, if any wait.
    """
    prediction = Prediction.objects.select_related("user").filter(pk=prediction_id).first()
    if prediction is None or prediction.status != Prediction.Status.PENDING:
        return
    _fetch(prediction, send)
    waiting_send(share=share_of(prediction), send=send)


def _fetch(prediction: Prediction, send: Send) -> None:
    try:
        version = _version_in_production()
        sha256, data = remembered_sha256(prediction.file), None
        if sha256 is None:
            data = fetch_photo(
                prediction.file,
                allow=settings.CHAMPIPY_FETCH_ALLOW,
                deadline_s=FETCH_DEADLINE_S,
                requests=PhotoTurns(prediction),
            )
            sha256 = hashlib.sha256(data).hexdigest()
        inference = stored_inference(sha256=sha256, version=version)
        if inference is None and data is not None:
            check_space()
            quota_take(user=prediction.user, new_bytes=len(data))
            try:
                with refuse_when_full():
                    incoming_write(prediction.pk, data)
            except StorageUnavailable as unavailable:
                quota_return(user=prediction.user, new_bytes=len(data))
                logger.warning("prediction %s waits in its row: %s", prediction.pk, unavailable)
                return
    except FetchLater as later:
        _fetch_later(prediction, later.at, send)
        return
    except (PredictionRefused, FetchError) as error:
        prediction_finish(prediction, error=PredictionRefused(error.code, error.detail))
        return
    prediction.sha256 = sha256
    if inference is not None:
        sources_remember({prediction: inference.photo})
        prediction_finish(prediction, inference=inference, reused=True)
        return
    prediction.sends = 0
    with transaction.atomic():
        has_place = place_take(prediction)
        is_pending = Prediction.objects.filter(
            pk=prediction.pk, status=Prediction.Status.PENDING
        ).update(sha256=sha256, sends=prediction.sends, next_send_at=prediction.next_send_at)
        if is_pending and has_place:
            send(prediction)
    if not is_pending:  # the task ran twice, and the other run has answered
        incoming_delete(prediction.pk)


def _fetch_later(prediction: Prediction, at: datetime, send: Send) -> None:
    """Send the prediction again at `at`. Until then it keeps its place, but holds no thread."""
    schedule_fetch(prediction, at=at)
    with transaction.atomic():
        is_pending = Prediction.objects.filter(
            pk=prediction.pk, status=Prediction.Status.PENDING, sha256=""
        ).update(
            fetch_at=prediction.fetch_at,
            sends=prediction.sends,
            next_send_at=prediction.next_send_at,
        )
        if is_pending:
            send(prediction)


def _version_in_production() -> ModelVersion:
    version = production_version()
    if version is None:
        raise PredictionRefused("no_active_model")
    return version
