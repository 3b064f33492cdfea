"""Writes on predictions, from the request to the answer. Each step may safely run twice."""

import hashlib
import logging
import time
from datetime import timedelta

from django.conf import settings
from django.core.files import File
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from mlmodels.ml.preprocessing import MAX_BYTES, PhotoError, decode_photo
from mlmodels.models import ModelVersion
from mlmodels.scoring import load_engine, score_image
from mlmodels.selectors import production_version
from predictions.dispatch import Send, send_to_worker
from predictions.errors import PredictionRefused
from predictions.fetching import FetchError, fetch_photo
from predictions.incoming import (
    incoming_delete,
    incoming_older_than,
    incoming_read,
    incoming_write,
)
from predictions.models import Inference, Photo, PhotoSource, Prediction
from predictions.photo_services import photo_keep_for_training, photo_read, photo_store
from predictions.photo_urls import check_url, mushroom_observer_image_id
from predictions.selectors import (
    answered_predictions,
    remembered_sha256,
    source_key,
    stored_inference,
)
from predictions.wakeup import MAX_WAKEUP_WAIT_S, announce_answer, wait_for_answer

logger = logging.getLogger(__name__)

FETCH_DEADLINE_S = 10.0
FETCH_RESEND_PAUSE_S = 15.0
"""A fetch without an answer is sent again after this time: its deadline plus time in the queue."""
INFERENCE_RESEND_PAUSE_S = 5.0
"""The same for scoring, which takes 0.1 seconds and is killed after 15."""
MAX_RESEND_PAUSE_S = 60.0
"""The pause doubles with each send, up to this."""
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
    """
    is_upload = not isinstance(file, str)
    prediction = Prediction(user=user, nb_preds=nb_preds, is_upload=is_upload)
    prediction.file = _storable(file if isinstance(file, str) else file.name or "upload")
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
        if inference is not None:
            _finish(prediction, inference=inference, reused=True)
            return prediction
        with transaction.atomic():
            _schedule_resend(prediction)
            prediction.save()
            if not isinstance(file, str):
                file.seek(0)
                incoming_write(prediction.pk, file.chunks())
            send(prediction)
    except (PredictionRefused, FetchError) as error:
        _finish(prediction, error=PredictionRefused(error.code, error.detail))
    return prediction


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


def _schedule_resend(prediction: Prediction) -> None:
    pause = INFERENCE_RESEND_PAUSE_S if prediction.sha256 else FETCH_RESEND_PAUSE_S
    pause = min(pause * 2 ** min(prediction.sends, 10), MAX_RESEND_PAUSE_S)
    prediction.sends = min(prediction.sends + 1, 1000)
    prediction.next_send_at = timezone.now() + timedelta(seconds=pause)


def prediction_fetch(*, prediction_id: int, send: Send = send_to_worker) -> None:
    """Fetch the photo of a pending prediction's URL, then answer it or send it on to be scored.

    It is answered here if fetching fails or the photo's inference is stored.
    """
    prediction = Prediction.objects.filter(pk=prediction_id).first()
    if prediction is None or prediction.status != Prediction.Status.PENDING:
        return
    try:
        version = _version_in_production()
        sha256 = remembered_sha256(prediction.file)
        if sha256 is None:
            data = fetch_photo(
                prediction.file, allow=settings.CHAMPIPY_FETCH_ALLOW, deadline_s=FETCH_DEADLINE_S
            )
            sha256 = hashlib.sha256(data).hexdigest()
            incoming_write(prediction.pk, [data])
    except (PredictionRefused, FetchError) as error:
        _finish(prediction, error=PredictionRefused(error.code, error.detail))
        return
    prediction.sha256 = sha256
    inference = stored_inference(sha256=sha256, version=version)
    if inference is not None:
        _remember_source(prediction, inference.photo)
        _finish(prediction, inference=inference, reused=True)
        return
    prediction.sends = 0
    _schedule_resend(prediction)
    with transaction.atomic():
        is_pending = Prediction.objects.filter(
            pk=prediction.pk, status=Prediction.Status.PENDING
        ).update(sha256=sha256, sends=prediction.sends, next_send_at=prediction.next_send_at)
        if is_pending:
            send(prediction)
    if not is_pending:  # the task ran twice, and the other run has answered
        incoming_delete(prediction.pk)


def prediction_infer(*, prediction_id: int) -> None:
    """Score the photo of a pending prediction with the version in production, and answer it."""
    is_started = Prediction.objects.filter(
        pk=prediction_id, status=Prediction.Status.PENDING, attempts__lt=MAX_ATTEMPTS
    ).update(attempts=F("attempts") + 1)
    prediction = Prediction.objects.filter(pk=prediction_id).first()
    if prediction is None or prediction.status != Prediction.Status.PENDING:
        return
    try:
        if not is_started:  # MAX_ATTEMPTS workers have started before
            raise PredictionRefused("prediction_failed")
        inference, is_new = _infer(prediction, _version_in_production())
    except (PredictionRefused, PhotoError) as error:
        _finish(prediction, error=PredictionRefused(error.code, error.detail))
        return
    _finish(prediction, inference=inference, reused=not is_new)


def production_engine_load() -> None:
    """Load the engine of the version in production into this process, if there is one."""
    version = production_version()
    if version is not None:
        load_engine(version)


def _infer(prediction: Prediction, version: ModelVersion) -> tuple[Inference, bool]:
    """Return this version's inference of the prediction's photo, and whether it is new."""
    started = time.perf_counter()
    data = incoming_read(prediction.pk)
    if data is None:
        data = photo_read(sha256=prediction.sha256)
    if data is None:
        raise PredictionRefused(
            "prediction_failed", "The photo's file is no longer stored. Send it again."
        )
    image = decode_photo(data)
    photo = photo_store(
        data=data,
        sha256=prediction.sha256,
        image=image,
        origin="" if prediction.is_upload else prediction.file,
    )
    with transaction.atomic():
        # A worker that scores the same photo at the same time waits here, and finds this inference.
        photo = Photo.objects.select_for_update().get(pk=photo.pk)
        inference = stored_inference(sha256=photo.sha256, version=version)
        is_new = inference is None
        if inference is None:
            scores = score_image(version, image)
            inference = Inference.objects.create(
                photo=photo,
                model_version=version,
                scores=scores,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )
            best = max(scores)
            if best > settings.CHAMPIPY_KEEP_SCORE:
                photo_keep_for_training(
                    photo=photo, species_name=version.labels[scores.index(best)]
                )
        if not prediction.is_upload:
            _remember_source(prediction, photo)
    return inference, is_new


def _remember_source(prediction: Prediction, photo: Photo) -> None:
    is_permanent = mushroom_observer_image_id(prediction.file) is not None
    PhotoSource.objects.update_or_create(
        key=source_key(prediction.file),
        defaults={"photo": photo, "is_permanent": is_permanent, "fetched_at": timezone.now()},
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
    """Send overdue pending predictions again, at most 500; return how many were sent.

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
            _schedule_resend(prediction)
            prediction.save(update_fields=["sends", "next_send_at"])
            send_to_worker(prediction)
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
