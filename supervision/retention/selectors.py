"""What is kept longer than the CHAMPIPY_KEEP_… settings say, and needed by nothing.

A photo is needed by a training, an evaluation, a review or an audit: it has a label, a split, a
review, a doubt or waiting feedback, or a run's dataset or an evaluation set lists it. Such photos
never go. Of others the bytes go first; the row with its inferences stays for as long as a
prediction names it.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from accounts.models import KEY_COUNTS, IdempotencyKey
from common.storage import Alias, StoredFile, file_store
from mlmodels.ml.card import CARD, read_card
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.selectors import has_files, version_before_production
from mlmodels.services import PRETRAINED
from predictions.deletion_services import old_rows
from predictions.models import Feedback, Photo, PhotoSource, Prediction
from predictions.selectors import stored_file_names
from supervision.models import EvaluationSet

PORTION = 500
"""Rows that one transaction deletes, or files that one query asks for."""
MIN_ORPHAN_AGE_S = 3600
"""A younger file without a row may be one that a worker is about to write the row of."""


class Subject(StrEnum):
    """What is deleted, as people read it."""

    PREDICTIONS = "predictions"
    PHOTO_FILES = "photos that nobody needs: their files"
    PHOTOS = "photos that no prediction names: their rows"
    ORPHANS = "files without a row"
    SOURCES = "remembered URLs"
    LOGINS = "login attempts"
    SESSIONS = "expired sessions"
    KEYS = "idempotency keys that no longer count"
    VERSIONS = "former versions: their files"


def old_predictions(now: datetime) -> QuerySet[Prediction]:
    """Return the answered predictions older than CHAMPIPY_KEEP_PREDICTIONS_DAYS."""
    days = settings.CHAMPIPY_KEEP_PREDICTIONS_DAYS
    if days <= 0:
        return Prediction.objects.none()
    old = Prediction.objects.filter(created_at__lt=now - timedelta(days=days))
    return old.exclude(status=Prediction.Status.PENDING).order_by("created_at")


def old_photo_files(now: datetime) -> QuerySet[Photo]:
    """Return the unneeded photos that are stored, and that nobody has asked for lately.

    Lately: within CHAMPIPY_KEEP_PHOTOS_DAYS. `listed_photos` must be left out as well.
    """
    days = settings.CHAMPIPY_KEEP_PHOTOS_DAYS
    if days <= 0:
        return Photo.objects.none()
    since = now - timedelta(days=days)
    asked = Prediction.objects.filter(inference__photo=OuterRef("pk"), created_at__gte=since)
    pending = Prediction.objects.filter(status=Prediction.Status.PENDING).values("sha256")
    old = _unneeded_photos().exclude(file="").filter(~Exists(asked), created_at__lt=since)
    return old.exclude(sha256__in=pending)


def forgotten_photos(now: datetime) -> QuerySet[Photo]:
    """Return the unneeded photos without bytes that no prediction names any more.

    Those count, too, of which `old_photo_files` and `old_predictions` are about to be deleted.
    `listed_photos` must be left out as well.
    """
    if settings.CHAMPIPY_KEEP_PHOTOS_DAYS <= 0:
        return Photo.objects.none()
    names_it = Prediction.objects.filter(inference__photo=OuterRef("pk"))
    old = old_predictions(now).order_by().filter(pk=OuterRef("pk"))
    stays = names_it.filter(~Exists(old))
    without_bytes = Q(file="") | Q(pk__in=old_photo_files(now).order_by().values("pk"))
    return _unneeded_photos().filter(without_bytes, ~Exists(stays))


def _unneeded_photos() -> QuerySet[Photo]:
    photos = Photo.objects.filter(label=None, label_source="", split="", excluded=False)
    said = Feedback.objects.filter(prediction__inference__photo=OuterRef("pk"), reviewed_at=None)
    return photos.filter(~Exists(said), reviewed_at=None, doubt=None).order_by("pk")


def is_photo_needed(photo: Photo) -> bool:
    """Return whether a training, an evaluation, a review or an audit needs a photo."""
    if not _unneeded_photos().filter(pk=photo.pk).exists():
        return True
    entry = [[photo.sha256]]  # JSON's "contains" looks for it within [SHA-256, species], too
    in_a_run = (
        Q(dataset__training__contains=entry)
        | Q(dataset__validation__contains=entry)
        | Q(dataset__others__contains=entry)
    )
    return (
        EvaluationSet.objects.filter(manifest__contains=entry).exists()
        or TrainingRun.objects.filter(in_a_run).exists()
    )


def listed_photos() -> set[str]:
    """Return the SHA-256 of every photo in an evaluation set or in a run's dataset."""
    listed: set[str] = set()
    for manifest in EvaluationSet.objects.values_list("manifest", flat=True).iterator(10):
        listed |= {sha256 for sha256, _ in manifest}
    for dataset in TrainingRun.objects.values_list("dataset", flat=True).iterator(10):
        for part in ("training", "validation", "others"):
            listed |= {sha256 for sha256, *_ in (dataset or {}).get(part, ())}
    return listed


def orphan_photos() -> Iterator[StoredFile]:
    """Yield the files of photos that no row names: their processes died, or could not delete."""
    files = _old_files("default", "photos/")
    while portion := {file.name: file for file in islice(files, PORTION)}:
        yield from (portion[name] for name in sorted(portion.keys() - stored_file_names(portion)))


def orphan_pictures() -> Iterator[StoredFile]:
    """Yield the pictures and explanations of photos that are stored no more."""
    files = _old_files("pictures")
    while portion := list(islice(files, PORTION)):
        shown = {file.name: file.name.rpartition("/")[2][:64] for file in portion}
        stored = Photo.objects.filter(sha256__in=set(shown.values())).exclude(file="")
        known = set(stored.values_list("sha256", flat=True))
        yield from (file for file in portion if shown[file.name] not in known)


def orphan_version_files() -> Iterator[StoredFile]:
    """Yield the files of versions without a row: their registration did not come to its end."""
    known = {version.files_name for version in ModelVersion.objects.only("name", "version")}
    for file in _old_files("models"):
        if file.name.rpartition("/")[0] not in known:
            yield file


def _old_files(alias: Alias, prefix: str = "") -> Iterator[StoredFile]:
    born_before = time.time() - MIN_ORPHAN_AGE_S
    return (file for file in file_store(alias).files(prefix) if file.modified < born_before)


def old_sources(now: datetime) -> QuerySet[PhotoSource]:
    """Return what is remembered of URLs fetched over CHAMPIPY_KEEP_SOURCES_DAYS ago."""
    days = settings.CHAMPIPY_KEEP_SOURCES_DAYS
    if days <= 0:
        return PhotoSource.objects.none()
    return PhotoSource.objects.filter(fetched_at__lt=now - timedelta(days=days)).order_by(
        "fetched_at"
    )


def old_logins(now: datetime) -> list[QuerySet]:
    """Return axes' attempts and logs over CHAMPIPY_KEEP_LOGINS_DAYS old; and expired sessions."""
    days = settings.CHAMPIPY_KEEP_LOGINS_DAYS
    if days <= 0:
        return []
    since = now - timedelta(days=days)
    models = (AccessAttempt, AccessLog, AccessFailureLog)
    old = [model.objects.filter(attempt_time__lt=since).order_by("pk") for model in models]
    return [*old, Session.objects.filter(expire_date__lt=now).order_by("expire_date")]


def old_keys(now: datetime) -> QuerySet[IdempotencyKey]:
    """Return the idempotency keys that no longer count."""
    return IdempotencyKey.objects.filter(created_at__lt=now - KEY_COUNTS).order_by("created_at")


@dataclass(frozen=True)
class Amount:
    """How much of one subject goes, or went."""

    subject: str
    count: int
    bytes: int = 0
    """Of files only: space in the database is used again, but seldom given back to the disk."""


def prunable(now: datetime) -> list[Amount]:
    """Return what `services.prune` would delete now, in its order."""
    listed = listed_photos()
    files = old_photo_files(now).values_list("sha256", "bytes").iterator()
    sizes = [size for sha256, size in files if sha256 not in listed]
    rows = forgotten_photos(now).values_list("sha256", flat=True).iterator()
    orphans = [
        file.size
        for found in (orphan_photos(), orphan_pictures(), orphan_version_files())
        for file in found
    ]
    *logins, sessions = [rows.count() for rows in old_logins(now)] or [0]
    versions = [folder_bytes(version) for version in old_versions()]
    return [
        Amount(Subject.PREDICTIONS, old_predictions(now).count()),
        Amount(Subject.PHOTO_FILES, len(sizes), sum(sizes)),
        Amount(Subject.PHOTOS, sum(sha256 not in listed for sha256 in rows)),
        Amount(Subject.ORPHANS, len(orphans), sum(orphans)),
        Amount(Subject.SOURCES, old_sources(now).count()),
        Amount(Subject.LOGINS, sum(logins)),
        Amount(Subject.SESSIONS, sessions),
        Amount(Subject.KEYS, old_keys(now).count()),
        *(Amount(subject, rows(now).count()) for subject, rows in old_rows.items()),
        Amount(Subject.VERSIONS, len(versions), sum(versions)),
    ]


def folder_bytes(version: ModelVersion) -> int:
    """Return the bytes of a version's files."""
    return sum(file.size for file in file_store("models").files(f"{version.files_name}/"))


def old_versions() -> list[ModelVersion]:
    """Return the archived versions whose files are stored and not needed.

    Needed are those of the CHAMPIPY_KEEP_VERSIONS that were in production last, of the one that a
    rollback restores, of the shipped one, and of all parents of runs and of versions that stay.
    """
    if settings.CHAMPIPY_KEEP_VERSIONS <= 0:
        return []
    promoted = Q(transitions__to_stage=ModelVersion.Stage.PRODUCTION)
    former = (
        ModelVersion.objects.filter(stage=ModelVersion.Stage.ARCHIVED)
        .annotate(promotion=Max("transitions__pk", filter=promoted))
        .filter(promotion__isnull=False)
        .order_by(F("promotion").desc())
        .defer("card", "metrics")
    )
    previous = version_before_production()
    shipped = {name: asdict(file) for name, file in read_card(PRETRAINED / CARD).files.items()}
    old = {
        version.pk: version
        for version in former[settings.CHAMPIPY_KEEP_VERSIONS :]
        if version != previous and version.files != shipped
    }
    parents = dict(ModelVersion.objects.values_list("pk", "parent"))
    of_runs = set(TrainingRun.objects.values_list("parent", flat=True))
    for ancestor in [*(parents[pk] for pk in parents.keys() - old.keys()), *of_runs]:
        needed = ancestor
        while needed is not None:
            old.pop(needed, None)
            needed = parents[needed]
    return [version for version in old.values() if has_files(version)]
