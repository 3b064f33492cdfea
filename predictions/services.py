"""Writes on predictions, from the request to the answer. Each step may safely run twice."""

import hashlib
import logging
import time
from contextlib import suppress
from copy import copy

from django.conf import settings
from django.core.files import File
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from mlmodels.ml.picture_end import picture_length
from mlmodels.ml.preprocessing import MAX_BYTES, PhotoError, decode_photo
from mlmodels.models import ModelVersion
from mlmodels.scoring import load_engine, score_image
from mlmodels.selectors import production_version
from predictions.dispatch import Send, schedule_resend, send_to_worker
from predictions.errors import NotAccepted, PredictionRefused
from predictions.fair_shares import (
    all_waiting_fetches_send,
    fetch_or_wait,
    waiting_fetches_send,
)
from predictions.fetching import FetchError, fetch_photo
from predictions.incoming import (
    incoming_delete,
    incoming_keep,
    incoming_older_than,
    incoming_read,
    incoming_write,
)
from predictions.models import Inference, Photo, PhotoSource, Prediction
from predictions.photo_services import photo_keep_for_training, photo_read, photo_store
from predictions.photo_urls import check_url, mushroom_observer_image_id
from predictions.quotas import quota_take
from predictions.selectors import (
    answered_predictions,
    photo_with_bytes,
    remembered_sha256,
    source_key,
    stored_inference,
)
from predictions.storage_space import check_space, refuse_when_full
from predictions.wakeup import MAX_WAKEUP_WAIT_S, announce_answer, wait_for_answer

logger = logging.getLogger(__name__)

FETCH_DEADLINE_S = 10.0
MAX_ATTEMPTS = 3
"""A photo is given up after this many workers have started to score it without an answer."""


def prediction_create(
    *,
    user: User | None,
    file: str | File,
    nb_preds: int,
    version: ModelVersion | None,
    send: Send = send_to_worker,
) -> Prediction:
    """Store a request for a prediction, send it to the workers, and return it.

    If the photo's inference is stored already, the prediction is answered at once. If the request
    is refused before the photo is decoded, the prediction is stored as failed. `file` is a URL or
    an upload; `version` is the version in production, as the caller has just read it.
    Raises NotAccepted, and stores nothing, if the user's quota is used up, or if the photo is new
    and the disk is nearly full.
    """
    is_upload = not isinstance(file, str)
    prediction = Prediction(user=user, nb_preds=nb_preds, is_upload=is_upload)
    prediction.file = _storable(file if isinstance(file, str) else file.name or "upload")
    inference, error = None, None
    try:
        if version is None:
            raise PredictionRefused("no_active_model")
        if isinstance(file, str):
            check_url(file, allow=settings.CHAMPIPY_FETCH_ALLOW)
            sha256 = remembered_sha256(file)
        else:
            sha256 = _upload_sha256(file)
        prediction.sha256 = sha256 or ""
        inference = stored_inference(sha256=prediction.sha256, version=version)
    except (PredictionRefused, FetchError) as refused:
        error = PredictionRefused(refused.code, refused.detail)
    is_new = inference is None and error is None
    if is_new:
        check_space()
    new_bytes = (file.size or 0) if is_new and not isinstance(file, str) else 0
    quota_take(user=user, predictions=1, new_bytes=new_bytes)
    if inference is not None:
        answered = copy(prediction)
        with suppress(IntegrityError):  # retention has just deleted the inference
            _finish(answered, inference=inference, reused=True)
            return answered
    if error is not None:
        _finish(prediction, error=error)
    else:
        _create_pending(prediction, None if isinstance(file, str) else file, send)
    return prediction


def _create_pending(prediction: Prediction, upload: File | None, send: Send) -> None:
    """Save the prediction, with the bytes of its upload, and send it to a worker.

    Raises NotAccepted("storage_full"), and leaves nothing, if the disk is full.
    """
    try:
        with transaction.atomic(), refuse_when_full():
            if not prediction.sha256:
                fetch_or_wait(prediction, send=send)
                return
            schedule_resend(prediction)
            prediction.save()
            send(prediction)
            if upload is not None:
                incoming_keep(prediction.pk, upload)
    except (NotAccepted, DatabaseError):
        if prediction.pk is not None:
            incoming_delete(prediction.pk)
        raise


def _storable(text: str) -> str:
    """Return text that PostgreSQL can store: no NUL, no lone surrogate, at most 2048 characters."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:2048]


def _version_in_production() -> ModelVersion:
    version = production_version()
    if version is None:
        raise PredictionRefused("no_active_model")
    return version


def _upload_sha256(upload: File) -> str:
    if (upload.size or 0) > MAX_BYTES:
        raise PredictionRefused("image_too_large")
    digest = hashlib.sha256()
    for chunk in upload.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def prediction_fetch(*, prediction_id: int, send: Send = send_to_worker) -> None:
    """Fetch the photo of a pending prediction's URL, then answer it or send it on to be scored.

    It is answered here if fetching fails or the photo's inference is stored. Then the next URL of
    the same user is sent, if any waits.
    """
    prediction = Prediction.objects.select_related("user").filter(pk=prediction_id).first()
    if prediction is None or prediction.status != Prediction.Status.PENDING:
        return
    _fetch(prediction, send)
    waiting_fetches_send(user_id=prediction.user_id, send=send)


def _fetch(prediction: Prediction, send: Send) -> None:
    try:
        version = _version_in_production()
        sha256, data = remembered_sha256(prediction.file), None
        if sha256 is None:
            data = fetch_photo(
                prediction.file, allow=settings.CHAMPIPY_FETCH_ALLOW, deadline_s=FETCH_DEADLINE_S
            )
            sha256 = hashlib.sha256(data).hexdigest()
        inference = stored_inference(sha256=sha256, version=version)
        if inference is None and data is not None:
            check_space()
            quota_take(user=prediction.user, new_bytes=len(data))
            with refuse_when_full():
                incoming_write(prediction.pk, [data])
    except (PredictionRefused, FetchError) as error:
        _finish(prediction, error=PredictionRefused(error.code, error.detail))
        return
    prediction.sha256 = sha256
    if inference is not None:
        _remember_source(prediction, inference.photo)
        _finish(prediction, inference=inference, reused=True)
        return
    prediction.sends = 0
    schedule_resend(prediction)
    with transaction.atomic():
        is_pending = Prediction.objects.filter(
            pk=prediction.pk, status=Prediction.Status.PENDING
        ).update(sha256=sha256, sends=prediction.sends, next_send_at=prediction.next_send_at)
        if is_pending:
            send(prediction)
    if not is_pending:  # the task ran twice, and the other run has answered
        incoming_delete(prediction.pk)


def prediction_infer(*, prediction_id: int, send: Send = send_to_worker) -> None:
    """Score the photo of a pending prediction with the version in production, and answer it.

    If the photo's file is missing or holds other bytes, a URL is fetched again instead.
    """
    is_started = Prediction.objects.filter(
        pk=prediction_id, status=Prediction.Status.PENDING, attempts__lt=MAX_ATTEMPTS
    ).update(attempts=F("attempts") + 1)
    prediction = Prediction.objects.select_related("user").filter(pk=prediction_id).first()
    if prediction is None or prediction.status != Prediction.Status.PENDING:
        return
    try:
        if not is_started:  # MAX_ATTEMPTS workers have started before
            raise PredictionRefused("prediction_failed")
        data = _bytes_to_score(prediction)
        if data is None:
            _fetch_again(prediction, send)
            return
        with refuse_when_full():
            inference, is_new = _infer(prediction, data, _version_in_production())
    except (PredictionRefused, PhotoError) as error:
        _finish(prediction, error=PredictionRefused(error.code, error.detail))
        return
    _finish(prediction, inference=inference, reused=not is_new)


def production_engine_load() -> None:
    """Load the engine of the version in production into this process, if there is one."""
    version = production_version()
    if version is not None:
        load_engine(version)


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
            "prediction_failed", "The photo's file is no longer stored. Send it again."
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
        inference = stored_inference(sha256=photo.sha256, version=version)
        is_new = inference is None
        if inference is None:
            scores = score_image(version, image)
            best = max(scores)
            species = version.labels[scores.index(best)]
            inference = Inference.objects.create(
                photo=photo,
                model_version=version,
                scores=scores,
                best_score=best,
                best_species=species,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )
            if best > settings.CHAMPIPY_KEEP_SCORE:
                photo_keep_for_training(photo=photo, species_name=species, user=prediction.user)
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


def _finish(
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


def predictions_resend() -> int:
    """Send overdue pending predictions again, at most 500; return how many were sent again.

    URLs that wait for their user's turn are sent, too, where places are free.

    This recovers what was lost when a worker was killed, the broker lost a message, or a web
    process died between storing and sending. Sending a prediction twice does no harm.
    """
    with transaction.atomic():
        stalled = list(
            Prediction.objects.select_for_update(skip_locked=True)
            .filter(status=Prediction.Status.PENDING, next_send_at__lte=timezone.now())
            .order_by("next_send_at")[:500]
        )
        for prediction in stalled:
            schedule_resend(prediction)
            prediction.save(update_fields=["sends", "next_send_at"])
            send_to_worker(prediction)
    all_waiting_fetches_send(send=send_to_worker)
    return len(stalled)


def incoming_sweep() -> int:
    """Delete incoming files older than an hour without a pending prediction; return how many.

    Processes that died leave them behind.
    """
    old = incoming_older_than(3600)
    pending = set(
        Prediction.objects.filter(
            pk__in=[pk for pk in old.values() if pk is not None],
            status=Prediction.Status.PENDING,
        ).values_list("pk", flat=True)
    )
    orphans = [path for path, pk in old.items() if pk is None or pk not in pending]
    for path in orphans:
        path.unlink(missing_ok=True)
    return len(orphans)
