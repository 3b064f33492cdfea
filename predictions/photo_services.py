"""Writes on photos: store, keep for training."""

import hashlib
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image

from accounts.models import User
from common.prepared import Prepared
from common.storage import DamagedFileError, FileStore, file_store
from mlmodels.ml.dataset import RECENT_PHOTOS
from mlmodels.ml.preprocessing import perceptual_hash
from mlmodels.models import Species
from predictions.incoming import incoming_link
from predictions.models import Photo
from predictions.photo_urls import mushroom_observer_image_id
from predictions.selectors import (
    evaluation_photos_like,
    photo_with_bytes,
    photos_resembling,
    stored_file_names,
)

logger = logging.getLogger(__name__)

_KEEPING_LOCK = 0x6B65657069  # "keepi" in ASCII; any number that no other advisory lock has

WhenRead = Callable[[Mapping[int, Photo]], object]

_when_read: list[WhenRead] = []


def call_when_read(function: WhenRead) -> None:
    """Register what to do with photos that were read, by the ids of their predictions.

    It is called before they are judged for training, in a transaction that has locked their rows,
    and may change the rows and the objects. The apps above this one call `call_when_read` when they
    are loaded.
    """
    _when_read.append(function)


def photos_announce(photos: Mapping[int, Photo]) -> None:
    """Tell the apps above that photos are read, by the ids of their predictions.

    Call it in a transaction that has locked their rows.
    """
    for function in _when_read:
        function(photos)


@dataclass(frozen=True)
class DecodedPhoto:
    """What is stored of a photo that was decoded."""

    data: bytes
    """Its file, which ends with the picture."""
    sha256: str
    """Of `data`."""
    width: int
    height: int
    perceptual_hash: int
    """64 bits, as a signed integer."""
    sent_for: int | None = None
    """Id of a prediction whose incoming file has these bytes and no others."""

    @classmethod
    def of(cls, data: bytes, image: Image.Image, sent_for: int | None = None) -> Self:
        """Return it for a file and the result of `decode_photo`."""
        width, height = image.info["full_size"]
        sha256 = hashlib.sha256(data).hexdigest()
        return cls(data, sha256, width, height, signed_64(perceptual_hash(image)), sent_for)


def photo_store(
    *,
    data: bytes,
    image: Image.Image,
    origin: str,
    mushroom_observer_id: int | None = None,
) -> Photo:
    """Store a decoded photo under its SHA-256 and return it. A stored photo is returned unchanged.

    The file is complete before its row exists or names it, so a row never names a missing file.
    Raises StorageUnavailable.
    """
    decoded = DecodedPhoto.of(data, image)
    with transaction.atomic():
        stored, new = photos_store([(decoded, origin)], mushroom_observer_id)
    return (stored | new)[decoded.sha256]


def photos_store(
    decoded: Sequence[tuple[DecodedPhoto, str]], mushroom_observer_id: int | None = None
) -> tuple[dict[str, Photo], dict[str, Photo]]:
    """Store decoded photos, each with its origin, as `photo_store` does.

    Return the rows that were there, locked, and the new ones, by their SHA-256. Call it in a
    transaction. Raises StorageUnavailable.
    """
    by_sha256 = {photo.sha256: (photo, origin) for photo, origin in decoded}
    _photos_lock(list(by_sha256))
    stored = {photo.sha256: photo for photo in _stored.all(sha256s=[*by_sha256])}
    missing = {
        sha256: f"photos/{sha256[:2]}/{sha256}"
        for sha256 in by_sha256
        if sha256 not in stored or not stored[sha256].file
    }
    _files_write({name: by_sha256[sha256][0] for sha256, name in missing.items()})
    new = []
    for sha256, name in missing.items():
        row, (photo, origin) = stored.get(sha256), by_sha256[sha256]
        if row is not None:
            row.file = name
            row.save(update_fields=["file"])
        else:
            new.append(
                Photo(
                    sha256=sha256,
                    file=name,
                    bytes=len(photo.data),
                    width=photo.width,
                    height=photo.height,
                    perceptual_hash=photo.perceptual_hash,
                    origin=origin,
                    mushroom_observer_id=mushroom_observer_id or mushroom_observer_image_id(origin),
                )
            )
    if new:
        Photo.objects.bulk_create(new)
    return stored, {photo.sha256: photo for photo in new}


_stored = Prepared(
    lambda sha256s: (
        Photo.objects.select_for_update().filter(sha256__any_of=sha256s).order_by("sha256")
    ),
    sha256s=list,
)


def _files_write(photos: Mapping[str, DecodedPhoto]) -> None:
    """Store photos' files by their names; in an object store all at once, as each takes a while.

    The file of an incoming photo gets a second name instead: writing it again is most of the time.
    """
    store = file_store("default")
    if store.is_remote and len(photos) > 1:
        with ThreadPoolExecutor(len(photos)) as pool:
            list(pool.map(store.write, photos, [photo.data for photo in photos.values()]))
        return
    for name, photo in photos.items():
        if not _is_linked(store, name, photo):
            store.write(name, photo.data)


def _is_linked(store: FileStore, name: str, photo: DecodedPhoto) -> bool:
    """Give a photo's incoming file this name; return False if it has to be written instead.

    Another run of its fetch may have replaced the file since it was read.
    """
    if photo.sent_for is None or not incoming_link(photo.sent_for, store, name):
        return False
    return hashlib.sha256(store.read(name)).hexdigest() == photo.sha256


def _photos_lock(sha256s: Sequence[str]) -> None:
    """Do what `photo_lock` does for several photos, in one order for all processes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS keys(key)",
            [sorted(photo_lock_key(sha256) for sha256 in sha256s)],
        )


def photo_lock(sha256: str) -> None:
    """Keep others from storing or deleting this photo's bytes until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [photo_lock_key(sha256)])


def photo_lock_key(sha256: str) -> int:
    """Return the number by which PostgreSQL knows the lock of a photo's bytes."""
    return int(sha256[:15], 16)


def photo_file_delete(*, name: str) -> int:
    """Delete a file in the folder of photos unless a row names it; return its bytes, or 0.

    Raises StorageUnavailable.
    """
    store, base_name = file_store("default"), PurePosixPath(name).name
    with transaction.atomic():
        if re.fullmatch("[0-9a-f]{64}.*", base_name):
            photo_lock(base_name[:64])
        if stored_file_names([name]):
            return 0
        try:
            size = store.size(name)
        except FileNotFoundError:
            return 0
        store.delete(name)
    return size


def photo_read(*, sha256: str) -> bytes | None:
    """Return the stored bytes of `photo_with_bytes(sha256)`.

    None if there is no such photo, or if its file is missing or damaged. Raises StorageUnavailable.
    """
    photo = photo_with_bytes(sha256)
    if photo is None or not photo.file:
        return None
    try:
        data = file_store("default").read(str(photo.file))
    except (FileNotFoundError, DamagedFileError):
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
    share = math.ceil(settings.CHAMPIPY_USER_SHARE / 100 * RECENT_PHOTOS)
    return unreviewed.order_by()[:share].count() >= share
