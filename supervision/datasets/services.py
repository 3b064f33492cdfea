"""Freezes evaluation sets: accuracies compare only if photos and labels stay the same."""

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F

from accounts.models import User
from common.messages import Message
from predictions.models import Photo
from supervision.datasets.others import other_photos
from supervision.datasets.selectors import current_evaluation_set, set_sha256
from supervision.models import EvaluationSet

Kind = EvaluationSet.Kind


@dataclass(frozen=True)
class SetChanges:
    """How many photos the next version of the evaluation set would add, remove and relabel."""

    added: int
    removed: int
    relabelled: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.relabelled)

    def __str__(self) -> str:
        return str(
            Message(
                "%(added)d photos added, %(removed)d removed, %(relabelled)d relabelled",
                added=self.added,
                removed=self.removed,
                relabelled=self.relabelled,
            )
        )


def evaluation_set_freeze(
    *, by: User | None, reason: str, kind: str = Kind.SPECIES
) -> EvaluationSet | None:
    """Freeze the present evaluation photos of a kind as the next version of its set; return it.

    Photos that were excluded in review are left out, and those of other species whose genus is
    among the training photos of other species. If nothing differs from the current version,
    or there are no evaluation photos, writes nothing and returns the current version (None if
    there is none). Model versions are evaluated on the new set when somebody next asks how good
    they are.
    """
    with transaction.atomic():
        _lock_sets()
        current = current_evaluation_set(kind)
        photos = _evaluation_photos(kind)
        sha256 = set_sha256(photos)
        if not photos or (current is not None and current.sha256 == sha256):
            return current
        return EvaluationSet.objects.create(
            kind=kind,
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


def evaluation_set_changes(kind: str = Kind.SPECIES) -> SetChanges:
    """Return how the evaluation photos of a kind have changed since its current set was frozen."""
    current = current_evaluation_set(kind)
    before = dict(current.manifest) if current else {}
    now = dict(_evaluation_photos(kind))
    return SetChanges(
        added=len(now.keys() - before.keys()),
        removed=len(before.keys() - now.keys()),
        relabelled=sum(before[sha256] != now[sha256] for sha256 in before.keys() & now.keys()),
    )


def _evaluation_photos(kind: str) -> list[tuple[str, str]]:
    """Return (SHA-256, species) of the evaluation photos that the next set of a kind would hold."""
    if kind == Kind.SPECIES:
        photos = Photo.objects.filter(split=Photo.Split.EVALUATION, excluded=False, is_other=False)
        named = photos.annotate(species=F("label__name")).order_by("sha256")
        return list(named.values_list("sha256", "species"))
    trained = other_photos(Photo.Split.TRAINING).exclude(genus="").values("genus")
    others = other_photos(Photo.Split.EVALUATION).filter(excluded=False)
    untrained = others.exclude(genus__in=trained).order_by("sha256")
    return list(untrained.values_list("sha256", "other_name"))
