"""Writes on photos: store, keep for training."""

import hashlib
import logging
import re
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image

from accounts.models import User
from common.files import write_atomically
from mlmodels.ml.dataset import RECENT_PHOTOS
from mlmodels.ml.preprocessing import perceptual_hash
from mlmodels.models import Species
from predictions.models import Photo
from predictions.photo_urls import mushroom_observer_image_id
from predictions.selectors import evaluation_photos_like, photo_with_bytes, photos_resembling

logger = logging.getLogger(__name__)

_KEEPING_LOCK = 0x6B65657069  # "keepi" in ASCII; any number that no other advisory lock has

WhenRead = Callable[[int, Photo], object]

_when_read: list[WhenRead] = []


def call_when_read(function: WhenRead) -> None:
    """Register what to do with the id of a prediction and its photo, before the photo is scored.

    It is called in a transaction that has locked the photo's row, and may change the row and the
    object. The apps above this one call `call_when_read` when they are loaded.
    """
    _when_read.append(function)


def photo_announce(*, prediction_id: int, photo: Photo) -> None:
    """Tell the apps above that a prediction's photo is read. Call it in a transaction."""
    for function in _when_read:
        function(prediction_id, photo)


def photo_store(
    *,
    data: bytes,
    image: Image.Image,
    origin: str,
    mushroom_observer_id: int | None = None,
) -> Photo:
    """Store a decoded photo under its SHA-256 and return it. A stored photo is returned unchanged.

    The file is complete before its row exists or names it, so a row never names a missing file.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    photo = Photo.objects.filter(sha256=sha256).first()
    if photo is not None and photo.file:
        return photo
    with transaction.atomic():
        photo_lock(sha256)
        photo = Photo.objects.filter(sha256=sha256).first()
        if photo is not None and photo.file:  # another worker has just stored the same bytes
            return photo
        is_new = photo is None
        photo = photo or _new_photo(data, sha256, image, origin, mushroom_observer_id)
        photo.file = f"photos/{sha256[:2]}/{sha256}"
        write_atomically(Path(photo.file.path), [data])
        photo.save(update_fields=None if is_new else ["file"])
    return photo


def photo_lock(sha256: str) -> None:
    """Keep others from storing or deleting this photo's bytes until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [photo_lock_key(sha256)])


def photo_lock_key(sha256: str) -> int:
    """Return the number by which PostgreSQL knows the lock of a photo's bytes."""
    return int(sha256[:15], 16)


def photo_file_delete(*, name: str) -> int:
    """Delete a file in the folder of photos unless a row names it; return its bytes, or 0."""
    path = Path(default_storage.path(name))
    with transaction.atomic():
        if re.fullmatch("[0-9a-f]{64}.*", path.name):
            photo_lock(path.name[:64])
        if Photo.objects.filter(file=name).exists():
            return 0
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
    return size


def _new_photo(
    data: bytes,
    sha256: str,
    image: Image.Image,
    origin: str,
    mushroom_observer_id: int | None,
) -> Photo:
    return Photo(
        sha256=sha256,
        bytes=len(data),
        width=image.info["full_size"][0],
        height=image.info["full_size"][1],
        perceptual_hash=signed_64(perceptual_hash(image)),
        origin=origin,
        mushroom_observer_id=mushroom_observer_id or mushroom_observer_image_id(origin),
    )


def photo_read(*, sha256: str) -> bytes | None:
    """Return the stored bytes of `photo_with_bytes(sha256)`.

    None if there is no such photo, or if its file is missing or damaged.
    """
    photo = photo_with_bytes(sha256)
    if photo is None or not photo.file:
        return None
    try:
        with photo.file.open("rb") as file:
            data = bytes(file.read())
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        logger.error("The file of %s is missing or damaged. Restore it from a backup.", photo)
        return None
    return data


def signed_64(unsigned: int) -> int:
    """Return an unsigned 64-bit integer as the signed one with the same bits (bigint)."""
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


def photo_keep_for_training(*, photo: Photo, species_name: str, user: User | None = None) -> bool:
    """Make a photo with a high score a training photo; return whether it became one just now.

    A photo with a label or a split keeps them, and an excluded or reserved one stays out. A photo
    that resembles an evaluation photo, or shows the same observation, is left out: training on it
    would make the model look better than it is. One that looks the same as a training photo teaches
    nothing new, and `user`, whose photo it is, may fill only a share of a training
    (CHAMPIPY_USER_SHARE) with photos that nobody reviewed. Call it in a transaction.
    """
    is_barred = photo.excluded or photo.is_reserved or not photo.file
    if photo.split or photo.label_source or is_barred:
        return False
    label = Species.objects.get(name=species_name)
    with connection.cursor() as cursor:  # one photo at a time, so that each sees the one before
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_KEEPING_LOCK])
    resembling = evaluation_photos_like(photo, label) or photos_resembling(
        perceptual_hash=photo.perceptual_hash,
        mushroom_observer_id=None,
        label=label,
        split=Photo.Split.TRAINING,
    )
    if resembling:
        logger.info("%s is not kept for training: it resembles %s", photo, resembling[0])
        return False
    if user is not None and _has_full_share(user):
        logger.info("%s is not kept for training: %s has filled their share", photo, user)
        return False
    return bool(
        Photo.objects.filter(
            pk=photo.pk, split="", label_source="", excluded=False, is_reserved=False
        ).update(
            split=Photo.Split.TRAINING,
            split_at=timezone.now(),
            label=label,
            label_source=Photo.LabelSource.PREDICTED,
            contributed_by=user,
        )
    )


def _has_full_share(user: User) -> bool:
    unreviewed = Photo.objects.filter(
        contributed_by=user,
        split=Photo.Split.TRAINING,
        label_source=Photo.LabelSource.PREDICTED,
    )
    return unreviewed.count() >= settings.CHAMPIPY_USER_SHARE / 100 * RECENT_PHOTOS
