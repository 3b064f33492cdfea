"""What workers do for a pending prediction: fetch and score its photo. Each may run twice."""

import hashlib
import logging
import time
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from common.messages import Message
from mlmodels.ml.picture_end import picture_length
from mlmodels.ml.preprocessing import PhotoError, decode_photo
from mlmodels.models import ModelVersion
from mlmodels.scoring import load_engine, score_image
from mlmodels.selectors import production_version
from predictions.answer_services import prediction_finish
from predictions.deletion_services import photo_delete_if_unneeded
from predictions.dispatch import Send, schedule_fetch, schedule_resend, send_to_worker
from predictions.errors import PredictionRefused
from predictions.fair_shares import place_take, share_of, waiting_send
from predictions.fetching import FetchError, fetch_photo
from predictions.incoming import incoming_delete, incoming_read, incoming_write
from predictions.inference_services import inference_store, photo_keep_if_sure
from predictions.models import Inference, Photo, PhotoSource, Prediction
from predictions.photo_services import photo_announce, photo_read, photo_store
from predictions.photo_turns import FetchLater, PhotoTurns
from predictions.photo_urls import mushroom_observer_image_id
from predictions.quotas import quota_take
from predictions.selectors import (
    photo_with_bytes,
    remembered_sha256,
    source_key,
    stored_inference,
)
from predictions.storage_space import check_space, refuse_when_full

logger = logging.getLogger(__name__)

FETCH_DEADLINE_S = 10.0
MAX_ATTEMPTS = 3
"""A photo is given up after this many workers have started to score it without an answer."""


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
            with refuse_when_full():
                incoming_write(prediction.pk, [data])
    except FetchLater as later:
        _fetch_later(prediction, later.at, send)
        return
    except (PredictionRefused, FetchError) as error:
        prediction_finish(prediction, error=PredictionRefused(error.code, error.detail))
        return
    prediction.sha256 = sha256
    if inference is not None:
        _remember_source(prediction, inference.photo)
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


def prediction_infer(*, prediction_id: int, send: Send = send_to_worker) -> None:
    """Score the photo of a pending prediction with the version in production, and answer it.

    If the photo's file is missing or holds other bytes, a URL is fetched again instead. Then the
    next predictions of the same user are sent, if any wait.
    """
    is_started = Prediction.objects.filter(
        pk=prediction_id, status=Prediction.Status.PENDING, attempts__lt=MAX_ATTEMPTS
    ).update(attempts=F("attempts") + 1)
    prediction = Prediction.objects.select_related("user").filter(pk=prediction_id).first()
    if prediction is None or prediction.status != Prediction.Status.PENDING:
        return
    _score(prediction, send, may_start=bool(is_started))
    waiting_send(share=share_of(prediction), send=send)


def _score(prediction: Prediction, send: Send, *, may_start: bool) -> None:
    try:
        if not may_start:  # MAX_ATTEMPTS workers have started before
            raise PredictionRefused("prediction_failed")
        data = _bytes_to_score(prediction)
        if data is None:
            _fetch_again(prediction, send)
            return
        with refuse_when_full():
            inference, is_new = _infer(prediction, data, _version_in_production())
    except PhotoError as error:
        detail = Message(error.text, **error.parameters)
        prediction_finish(prediction, error=PredictionRefused(error.code, detail))
        return
    except PredictionRefused as refused:
        prediction_finish(prediction, error=refused)
        return
    is_written = prediction_finish(prediction, inference=inference, reused=not is_new)
    if not is_written and not Prediction.objects.filter(pk=prediction.pk).exists():
        photo_delete_if_unneeded(photo=inference.photo)


def production_engine_load() -> None:
    """Load the engine of the version in production into this process, if there is one."""
    version = production_version()
    if version is not None:
        load_engine(version)


def _version_in_production() -> ModelVersion:
    version = production_version()
    if version is None:
        raise PredictionRefused("no_active_model")
    return version


def _bytes_to_score(prediction: Prediction) -> bytes | None:
    """Return the bytes with the prediction's SHA-256, or None if they have to be fetched again.

    Two runs of a fetch may get different bytes from one URL, and a row that belongs to the bytes of
    the other run. Raises PredictionRefused if an upload's bytes are gone.
    """
    data = incoming_read(prediction.pk)
    if data is None or hashlib.sha256(data).hexdigest() != prediction.sha256:
        data = photo_read(sha256=prediction.sha256)
    if data is None and prediction.is_upload:
        raise PredictionRefused(
            "prediction_failed", Message("The photo's file is no longer stored. Send it again.")
        )
    return data


def _fetch_again(prediction: Prediction, send: Send) -> None:
    logger.warning("%s: its photo's bytes are gone; they are fetched again", prediction)
    incoming_delete(prediction.pk)
    expected = prediction.sha256
    prediction.sha256, prediction.sends = "", 0
    schedule_resend(prediction)
    with transaction.atomic():
        is_pending = Prediction.objects.filter(
            pk=prediction.pk, status=Prediction.Status.PENDING, sha256=expected
        ).update(sha256="", sends=prediction.sends, next_send_at=prediction.next_send_at)
        if is_pending:
            send(prediction)


def _infer(prediction: Prediction, data: bytes, version: ModelVersion) -> tuple[Inference, bool]:
    """Return this version's inference of the prediction's photo, and whether it is new."""
    started = time.perf_counter()
    photo = photo_with_bytes(prediction.sha256)
    is_stored = photo is not None and bool(photo.file)  # retention may have deleted the bytes
    if not is_stored:
        data = data[: picture_length(data)]
    image = decode_photo(data)
    if photo is None or not is_stored:
        photo = photo_store(data=data, image=image, origin=prediction.file)
    with transaction.atomic():
        # A worker that scores the same photo at the same time waits here, and finds this inference.
        photo = Photo.objects.select_for_update().get(pk=photo.pk)
        photo_announce(prediction_id=prediction.pk, photo=photo)
        inference = stored_inference(sha256=photo.sha256, version=version)
        is_new = inference is None
        if inference is None:
            answer = score_image(version, image)
            inference = inference_store(
                photo=photo,
                version=version,
                answer=answer,
                duration_ms=(time.perf_counter() - started) * 1000,
                is_background=prediction.is_background,
            )
            if not prediction.is_background:
                photo_keep_if_sure(photo=photo, inference=inference, user=prediction.user)
        _remember_source(prediction, photo)
    return inference, is_new


def _remember_source(prediction: Prediction, photo: Photo) -> None:
    """Remember which photo the URL returned, and which photo bytes held that are not its own."""
    source = {"photo": photo, "sha256": prediction.sha256, "fetched_at": timezone.now()}
    if prediction.sha256 != photo.sha256:
        PhotoSource.objects.update_or_create(
            key=prediction.sha256, defaults=source | {"is_permanent": True}
        )
    if not prediction.is_upload:
        is_permanent = mushroom_observer_image_id(prediction.file) is not None
        PhotoSource.objects.update_or_create(
            key=source_key(prediction.file), defaults=source | {"is_permanent": is_permanent}
        )
