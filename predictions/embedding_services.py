"""Embeddings of photos: each is computed once, by the inference worker, and may be asked for twice.

The photos that are listed are embedded in the background, while nobody waits for a prediction; any
other photo only when somebody asks what is similar to it.
"""

import logging
import time
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from common.broker import send_task
from common.storage import StorageUnavailable
from mlmodels.ml.embedder import embedder
from mlmodels.ml.preprocessing import PhotoError, decode_photo
from mlmodels.scoring import embed_image
from predictions.models import Photo, PhotoEmbedding
from predictions.photo_services import photo_read
from predictions.selectors import is_scoring_awaited
from predictions.similar_selectors import is_listed
from predictions.vector_services import has_vectors

logger = logging.getLogger(__name__)

EMBED_TASK: Final = "predictions.tasks.embed_photo"
EMBED_LISTED_TASK: Final = "predictions.tasks.embed_listed_photos"
EXPIRES_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.05
MAX_ATTEMPTS: Final = 3
"""A photo is given up after this many workers have started to embed it without an end."""
CLAIM_S: Final = 20.0
"""A worker that has started on a photo is dead after this time: its task is killed after 15 s."""
BACKGROUND_S: Final = 5.0
"""How long one task embeds listed photos."""
PORTION: Final = 50
"""Listed photos that one query asks for."""


def embedding_wait(*, photo: Photo, timeout_s: float) -> list[float] | None:
    """Return a photo's embedding; have a worker compute it first if it is not stored.

    Waits at most `timeout_s` seconds; returns None if there is no embedding then.
    """
    numbers = _stored(photo)
    if numbers is None and send_task(EMBED_TASK, photo.pk, expires_s=EXPIRES_S):
        deadline = time.monotonic() + timeout_s
        while (numbers := _stored(photo)) is None and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL_S)
    return numbers


def photo_embed(*, photo_id: int) -> None:
    """Compute a photo's embedding and store it.

    Does nothing if it is there, if another worker has just started on it, if MAX_ATTEMPTS workers
    have, or if the photo's bytes are gone. Raises StorageUnavailable, which counts as no attempt.
    """
    photo = _claim(photo_id)
    try:
        data = photo_read(sha256=photo.sha256) if photo is not None else None
    except StorageUnavailable:
        _give_back(photo_id)
        raise
    if data is None:
        return
    try:
        numbers = embed_image(decode_photo(data))
    except PhotoError as error:
        logger.error("%s can't be embedded: %s", photo, error)
        return
    # The row goes with the photo's bytes. If that was meanwhile, nothing is updated.
    PhotoEmbedding.objects.filter(pk=photo_id, embedder=embedder().id).update(
        numbers=numbers.tolist()
    )


def listed_photos_embed(*, seconds: float = BACKGROUND_S) -> bool:
    """Embed listed photos for some seconds, while nobody waits for the inference worker.

    Return whether to go on at once: there are more photos, and nobody waits.
    """
    if not has_vectors():
        return False
    deadline = time.monotonic() + seconds
    while photo_ids := list(photos_to_embed().values_list("pk", flat=True)[:PORTION]):
        for photo_id in photo_ids:
            if is_scoring_awaited():
                return False
            if time.monotonic() > deadline:
                return True
            try:
                photo_embed(photo_id=photo_id)
            except StorageUnavailable as unavailable:
                logger.warning("Listed photos are embedded later: %s", unavailable)
                return False
    return False


def listed_photos_send() -> None:
    """Have the inference worker embed listed photos. If the message is lost, beat sends another."""
    send_task(EMBED_LISTED_TASK, expires_s=EXPIRES_S)


def photos_to_embed() -> QuerySet[Photo]:
    """Return the listed photos that have no embedding yet and that a worker may start on."""
    rows = PhotoEmbedding.objects.filter(photo=OuterRef("pk"), embedder=embedder().id)
    is_done_or_held = (
        Q(numbers__isnull=False) | Q(attempts__gte=MAX_ATTEMPTS) | Q(started_at__gt=_held_since())
    )
    return Photo.objects.filter(is_listed(), ~Exists(rows.filter(is_done_or_held))).order_by("pk")


def _claim(photo_id: int) -> Photo | None:
    """Note that this worker starts on a photo, and return it; None if it must not."""
    embedder_id = embedder().id
    with transaction.atomic():
        # Whoever deletes the bytes holds this row, too, and deletes the embedding.
        photos = Photo.objects.select_for_update().filter(pk=photo_id).exclude(file="")
        photo = photos.first()
        if photo is None:
            return None
        row = PhotoEmbedding.objects.filter(pk=photo_id, embedder=embedder_id).first()
        attempts = row.attempts if row is not None else 0
        if row is not None and (
            row.numbers is not None or attempts >= MAX_ATTEMPTS or row.started_at > _held_since()
        ):
            return None
        started = {"embedder": embedder_id, "numbers": None, "started_at": timezone.now()}
        PhotoEmbedding.objects.update_or_create(
            photo=photo, defaults=started | {"attempts": attempts + 1}
        )
    return photo


def _give_back(photo_id: int) -> None:
    PhotoEmbedding.objects.filter(pk=photo_id, numbers=None, attempts__gt=0).update(
        attempts=F("attempts") - 1, started_at=_held_since()
    )


def _stored(photo: Photo) -> list[float] | None:
    rows = PhotoEmbedding.objects.filter(pk=photo.pk, embedder=embedder().id)
    return rows.values_list("numbers", flat=True).first()


def _held_since() -> datetime:
    return timezone.now() - timedelta(seconds=CLAIM_S)
