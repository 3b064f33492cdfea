"""Deletes what is kept longer than the CHAMPIPY_KEEP_… settings say (`selectors` says what).

Each function deletes PORTION rows at a time, each portion in a transaction of its own, and leaves
out rows that somebody else holds; the next run finds them. Files go after the commit: a process
that dies in between leaves files without a row, which `orphans_prune` finds.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError, QuerySet
from django.utils import timezone

from common.storage import StorageUnavailable, file_store
from mlmodels.models import ModelVersion
from mlmodels.services import version_files_delete
from predictions.deletion_services import old_rows
from predictions.models import Inference, Photo, PhotoEmbedding, PhotoSource
from predictions.photo_services import photo_file_delete, photo_lock_key
from predictions.pictures import pictures_delete
from supervision.retention.selectors import (
    PORTION,
    Amount,
    Subject,
    forgotten_photos,
    listed_photos,
    old_keys,
    old_logins,
    old_photo_files,
    old_predictions,
    old_sources,
    old_versions,
    orphan_photos,
    orphan_pictures,
    orphan_version_files,
)

logger = logging.getLogger(__name__)

Report = Callable[[int], object]
"""Is called with the number of things that were just deleted."""


def prune(*, now: datetime | None = None, report: Report = lambda _: None) -> list[Amount]:
    """Delete everything that the settings give up, and return what was deleted."""
    now = now or timezone.now()
    done = [
        predictions_prune(now=now, report=report),
        photo_files_prune(now=now, report=report),
        photos_prune(now=now, report=report),
        orphans_prune(report=report),
        sources_prune(now=now, report=report),
        *logins_prune(now=now, report=report),
        keys_prune(now=now, report=report),
        *others_prune(now=now, report=report),
        versions_prune(report=report),
    ]
    for amount in done:
        if amount.count:
            logger.info("Deleted %s: %s (%s bytes)", amount.subject, amount.count, amount.bytes)
    return done


def predictions_prune(*, now: datetime, report: Report = lambda _: None) -> Amount:
    """Delete old predictions."""
    return Amount(Subject.PREDICTIONS, _delete_rows(old_predictions(now), report))


def sources_prune(*, now: datetime, report: Report = lambda _: None) -> Amount:
    """Forget which photos the URLs returned that were fetched long ago."""
    return Amount(Subject.SOURCES, _delete_rows(old_sources(now), report))


def logins_prune(*, now: datetime, report: Report = lambda _: None) -> tuple[Amount, Amount]:
    """Delete old login attempts, and expired sessions."""
    *logins, sessions = [_delete_rows(rows, report) for rows in old_logins(now)] or [0]
    return Amount(Subject.LOGINS, sum(logins)), Amount(Subject.SESSIONS, sessions)


def keys_prune(*, now: datetime, report: Report = lambda _: None) -> Amount:
    """Delete the idempotency keys that no longer count."""
    return Amount(Subject.KEYS, _delete_rows(old_keys(now), report))


def others_prune(*, now: datetime, report: Report = lambda _: None) -> list[Amount]:
    """Delete the old rows of the apps that this one does not know."""
    return [Amount(subject, _delete_rows(rows(now), report)) for subject, rows in old_rows.items()]


def photo_files_prune(*, now: datetime, report: Report = lambda _: None) -> Amount:
    """Delete the bytes of old photos that nothing needs, and the URLs that lead to them."""
    count = size = after = 0
    listed = listed_photos()
    while True:
        with transaction.atomic():
            portion = _portion(old_photo_files(now).filter(pk__gt=after))
            photos = _unlocked([photo for photo in portion if photo.sha256 not in listed])
            ids = [photo.pk for photo in photos]
            PhotoSource.objects.filter(photo__in=ids).delete()
            PhotoEmbedding.objects.filter(photo__in=ids).delete()
            Photo.objects.filter(pk__in=ids).update(file="")
        if not portion:
            return Amount(Subject.PHOTO_FILES, count, size)
        after = portion[-1].pk
        for photo in photos:
            try:
                pictures_delete(sha256=photo.sha256)
                size += photo_file_delete(name=str(photo.file))
            except StorageUnavailable as error:
                logger.warning("%s: its files are left to the next run: %s", photo, error)
        count += len(photos)
        report(len(photos))


def photos_prune(*, now: datetime, report: Report = lambda _: None) -> Amount:
    """Delete the rows of photos without bytes that no prediction names, and their inferences."""
    count = after = 0
    listed = listed_photos()
    while True:
        portion: list[Photo] = []
        try:
            with transaction.atomic():
                forgotten = forgotten_photos(now).filter(file="", pk__gt=after)
                portion = _portion(forgotten)
                photos = _unlocked([photo for photo in portion if photo.sha256 not in listed])
                ids = [photo.pk for photo in photos]
                Inference.objects.filter(photo__in=ids).delete()
                Photo.objects.filter(pk__in=ids).delete()
        except (ProtectedError, IntegrityError) as error:
            # Somebody has just asked for one of them again: the next run deletes the others.
            logger.info("Photos %s and up stay until the next run: %s", portion[0].pk, error)
            photos = []
        if not portion:
            return Amount(Subject.PHOTOS, count)
        after = portion[-1].pk
        count += len(photos)
        report(len(photos))


def orphans_prune(*, report: Report = lambda _: None) -> Amount:
    """Delete photos, pictures and files of versions that no row names."""
    count = size = 0
    for file in orphan_photos():
        size += photo_file_delete(name=file.name)
        count += 1
        report(1)
    others = {file_store("pictures"): orphan_pictures, file_store("models"): orphan_version_files}
    for store, orphans in others.items():
        for file in orphans():
            store.delete(file.name)
            size += file.size
            count += 1
            report(1)
    return Amount(Subject.ORPHANS, count, size)


def versions_prune(*, report: Report = lambda _: None) -> Amount:
    """Delete the files of former versions that nothing needs."""
    count = size = 0
    for version in old_versions():
        freed = version_files_delete(version=version, is_unneeded=partial(_is_old, version))
        size += freed
        count += bool(freed)
        report(1)
    return Amount(Subject.VERSIONS, count, size)


def _is_old(version: ModelVersion) -> bool:
    return version in old_versions()


def _delete_rows(rows: QuerySet, report: Report) -> int:
    """Delete all rows of a query that nothing refers to; return their number."""
    count = 0
    while True:
        with transaction.atomic():
            ids = [row.pk for row in _portion(rows.only("pk"))]
            rows.model._base_manager.filter(pk__in=ids).delete()
        if not ids:
            return count
        count += len(ids)
        report(len(ids))


def _portion(rows: QuerySet) -> list:
    """Return the next PORTION rows, locked, without those that somebody else has locked."""
    return list(rows.select_for_update(skip_locked=True, of=("self",))[:PORTION])


def _unlocked(photos: list[Photo]) -> list[Photo]:
    """Return those of `photos` whose bytes nobody else is storing, and keep others from it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key FROM unnest(%s::bigint[]) AS key WHERE pg_try_advisory_xact_lock(key)",
            [[photo_lock_key(photo.sha256) for photo in photos]],
        )
        keys = {key for (key,) in cursor.fetchall()}
    return [photo for photo in photos if photo_lock_key(photo.sha256) in keys]
