"""Freezes evaluation sets: accuracies compare only if photos and labels stay the same."""

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F

from accounts.models import User
from predictions.models import Photo
from supervision.datasets.selectors import current_evaluation_set, set_sha256
from supervision.models import EvaluationSet


@dataclass(frozen=True)
class SetChanges:
    """How many photos the next version of the evaluation set would add, remove and relabel."""

    added: int
    removed: int
    relabelled: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.relabelled)

    def __str__(self) -> str:
        return f"{self.added} photos added, {self.removed} removed, {self.relabelled} relabelled"


def evaluation_set_freeze(*, by: User | None, reason: str) -> EvaluationSet | None:
    """Freeze the present evaluation photos as the next version of the set, and return it.

    Photos that were excluded in review are left out. If nothing differs from the current version,
    or there are no evaluation photos, writes nothing and returns the current version (None if
    there is none). Model versions are evaluated on the new set when somebody next asks how good
    they are.
    """
    with transaction.atomic():
        _lock_sets()
        current = current_evaluation_set()
        photos = _evaluation_photos()
        sha256 = set_sha256(photos)
        if not photos or (current is not None and current.sha256 == sha256):
            return current
        return EvaluationSet.objects.create(
            version=current.version + 1 if current else 1,
            sha256=sha256,
            n=len(photos),
            manifest=photos,
            by=by,
            reason=reason,
        )


def _lock_sets() -> None:
    """Block other freezes until this transaction ends, so that each sees what the last froze."""
    with connection.cursor() as cursor:
        cursor.execute(f'LOCK TABLE "{EvaluationSet._meta.db_table}" IN SHARE ROW EXCLUSIVE MODE')


def evaluation_set_changes() -> SetChanges:
    """Return how the evaluation photos have changed since the current set was frozen."""
    current = current_evaluation_set()
    before = dict(current.manifest) if current else {}
    now = dict(_evaluation_photos())
    return SetChanges(
        added=len(now.keys() - before.keys()),
        removed=len(before.keys() - now.keys()),
        relabelled=sum(before[sha256] != now[sha256] for sha256 in before.keys() & now.keys()),
    )


def _evaluation_photos() -> list[tuple[str, str]]:
    """Return (SHA-256, species) of the evaluation photos that are not excluded."""
    photos = Photo.objects.filter(split=Photo.Split.EVALUATION, excluded=False)
    labelled = photos.annotate(species=F("label__name")).order_by("sha256")
    return list(labelled.values_list("sha256", "species"))
