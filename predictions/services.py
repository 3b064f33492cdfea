"""Writes on predictions: a new one is stored, then sent to the workers or answered at once."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import copy

from django.conf import settings
from django.core.files import File
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.models import User
from common.request_id import request_id
from common.storage import StorageUnavailable
from common.tracing import current_trace_parent
from mlmodels.ml.preprocessing import MAX_BYTES
from mlmodels.models import ModelVersion
from mlmodels.species_selectors import species_called
from predictions.answer_services import prediction_finish
from predictions.dispatch import Send, send_to_worker
from predictions.errors import NotAccepted, PredictionRefused
from predictions.fair_shares import place_take
from predictions.fetching import FetchError
from predictions.incoming import incoming_delete, incoming_keep
from predictions.models import Prediction
from predictions.photo_urls import check_url
from predictions.quotas import quota_return, quota_take
from predictions.selectors import remembered_sha256, stored_inference
from predictions.storage_space import check_space, refuse_when_full


def prediction_create(
    *,
    user: User | None,
    file: str | File,
    nb_preds: int,
    version: ModelVersion | None,
    proposed: str | None = None,
    is_background: bool = False,
    send: Send = send_to_worker,
) -> Prediction:
    """Store a request for a prediction, send it to the workers, and return it.

    If the photo's inference is stored already, the prediction is answered at once. If the request
    is refused before the photo is decoded, the prediction is stored as failed. `file` is a URL or
    an upload; `version` is the version in production, as the caller has just read it; `proposed` is
    a name that `parse_name` can read, to be judged with the answer; `is_background` says that
    nobody waits for it.
    Raises NotAccepted, and stores nothing, if the user's quota is used up, or if the photo is new
    and the disk is nearly full or the store of files does not answer.
    """
    prediction = _new_prediction(user, file, nb_preds)
    prediction.is_background = is_background
    if proposed is not None:
        species = species_called(proposed)
        prediction.proposed, prediction.proposed_species = proposed, species.name if species else ""
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
        with suppress(IntegrityError), _savepoint():  # retention has just deleted the inference
            prediction_finish(answered, inference=inference, reused=True)
            return answered
    if error is not None:
        prediction_finish(prediction, error=error)
    else:
        try:
            _create_pending(prediction, None if isinstance(file, str) else file, send)
        except StorageUnavailable as unavailable:
            quota_return(user=user, predictions=1, new_bytes=new_bytes)
            raise NotAccepted("storage_unavailable") from unavailable
    return prediction


def predictions_create(
    *,
    user: User | None,
    files: Sequence[str | File],
    nb_preds: int,
    version: ModelVersion | None,
    is_background: bool = False,
    send: Send = send_to_worker,
) -> list[Prediction]:
    """Store requests for several predictions, each as `prediction_create` does; return them.

    They are in the order of `files`. All are stored, or none; one that is not accepted is stored
    as failed. Raises NotAccepted, and stores nothing, if none is accepted.
    """
    predictions: list[Prediction] = []
    refusals: dict[int, NotAccepted] = {}
    with _forgetting_uploads(predictions), transaction.atomic():
        for index, file in enumerate(files):
            try:
                prediction = prediction_create(
                    user=user,
                    file=file,
                    nb_preds=nb_preds,
                    version=version,
                    is_background=is_background,
                    send=send,
                )
            except NotAccepted as refused:
                refusals[index] = refused
                prediction = _new_prediction(user, file, nb_preds)
            predictions.append(prediction)
        if len(refusals) == len(predictions):
            raise refusals[0]
        for index, refusal in refusals.items():
            prediction_finish(predictions[index], error=refusal)
    return predictions


def _new_prediction(user: User | None, file: str | File, nb_preds: int) -> Prediction:
    is_upload = not isinstance(file, str)
    name = file if isinstance(file, str) else file.name or "upload"
    return Prediction(
        user=user,
        nb_preds=nb_preds,
        is_upload=is_upload,
        file=_storable(name),
        request_id=request_id.get(),
        trace_parent=current_trace_parent(),
    )


@contextmanager
def _forgetting_uploads(predictions: list[Prediction]) -> Iterator[None]:
    """Delete the bytes of these predictions if their transaction fails."""
    try:
        yield
    except Exception:
        for prediction in predictions:
            if prediction.is_upload and prediction.pk is not None:
                incoming_delete(prediction.pk)
        raise


def _savepoint() -> AbstractContextManager:
    """Return a savepoint within a transaction, whose constraints are then checked at once."""
    return _checked() if connection.in_atomic_block else nullcontext()


@contextmanager
def _checked() -> Iterator[None]:
    with transaction.atomic():
        yield
        connection.check_constraints()


def _create_pending(prediction: Prediction, upload: File | None, send: Send) -> None:
    """Save the prediction, with the bytes of its upload, and send it to a worker.

    Raises NotAccepted("storage_full") if the disk is full, and StorageUnavailable; then it leaves
    nothing.
    """
    try:
        with transaction.atomic(), refuse_when_full():
            has_place = place_take(prediction)
            prediction.save()
            if has_place:
                send(prediction)
            if upload is not None:
                incoming_keep(prediction.pk, upload)
    except (NotAccepted, DatabaseError, StorageUnavailable):
        if prediction.pk is not None:
            incoming_delete(prediction.pk)
        raise


def _storable(text: str) -> str:
    """Return text that PostgreSQL can store: no NUL, no lone surrogate, at most 2048 characters."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:2048]


def _upload_sha256(upload: File) -> str:
    if (upload.size or 0) > MAX_BYTES:
        raise PredictionRefused("image_too_large")
    digest = hashlib.sha256()
    for chunk in upload.chunks():
        digest.update(chunk)
    return digest.hexdigest()
