"""Deletes predictions, and the photos that nothing needs after them."""

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError, Q, QuerySet

from common.storage import StorageUnavailable
from predictions.incoming import incoming_delete
from predictions.models import Inference, Photo, PhotoSource, Prediction
from predictions.photo_services import photo_file_delete, photo_lock
from predictions.pictures import pictures_delete
from predictions.selectors import photo_with_bytes

logger = logging.getLogger(__name__)

IsNeeded = Callable[[Photo], bool]

OldRows = Callable[[datetime], QuerySet]

_reasons_to_keep: list[IsNeeded] = []
old_rows: dict[str, OldRows] = {}
"""What the retention deletes besides predictions: by its name for people, which rows at a time."""


def keep_photos_if(is_needed: IsNeeded) -> None:
    """Register a reason to keep a photo. The apps above this one call it when they are loaded."""
    _reasons_to_keep.append(is_needed)


def prune_as_well(subject: str, rows: OldRows) -> None:
    """Have the retention delete these rows, too. The apps above this one call it as they load.

    `rows` gets the present time and returns what is kept longer than the settings say, ordered.
    """
    old_rows[subject] = rows


def prediction_delete(*, prediction: Prediction) -> None:
    """Delete a prediction, and its photo if nothing else needs it. A worker may be scoring it.

    The rows go in one transaction. Files go after it: those that stay because a process dies, or
    the store does not answer, are found by `incoming_sweep` and by the retention.
    """
    with transaction.atomic():
        Prediction.objects.filter(pk=prediction.pk).delete()
        transaction.on_commit(lambda: incoming_delete(prediction.pk))
        photo = photo_with_bytes(prediction.sha256) if prediction.sha256 else None
        if photo is not None:
            photo_delete_if_unneeded(photo=photo)


def photo_delete_if_unneeded(*, photo: Photo) -> bool:
    """Delete a photo, its inferences and its file unless something needs it; return whether.

    Needed is a photo that another prediction names or waits for, or that a registered reason keeps.
    """
    try:
        with transaction.atomic():
            photo_lock(photo.sha256)
            locked = Photo.objects.select_for_update().filter(pk=photo.pk).first()
            if locked is None or _is_asked_for(locked) or _is_kept(locked):
                return False
            Inference.objects.filter(photo=locked).delete()
            locked.delete()
            with connection.cursor() as cursor:  # whether a new prediction names an inference
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    except (ProtectedError, IntegrityError) as error:
        logger.info("%s stays: somebody has just asked for it again: %s", photo, error)
        return False
    transaction.on_commit(lambda: _delete_files(photo.sha256, str(photo.file)))
    return True


def _is_asked_for(photo: Photo) -> bool:
    keys = PhotoSource.objects.filter(photo=photo, is_permanent=True).values("key")
    waits = Q(sha256=photo.sha256) | Q(sha256__in=keys)
    return (
        Prediction.objects.filter(inference__photo=photo).exists()
        or Prediction.objects.filter(waits, status=Prediction.Status.PENDING).exists()
    )


def _is_kept(photo: Photo) -> bool:
    return any(is_needed(photo) for is_needed in _reasons_to_keep)


def _delete_files(sha256: str, name: str) -> None:
    try:
        pictures_delete(sha256=sha256)
        if name:
            photo_file_delete(name=name)
    except StorageUnavailable as error:
        logger.warning("The files of photo %s stay until ./champipy prune: %s", sha256[:12], error)
