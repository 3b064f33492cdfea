"""Freezes evaluation sets: a measurement means something only on photos and labels that stay."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import F

from accounts.models import User
from predictions.models import Photo
from supervision.datasets.selectors import current_evaluation_set, set_sha256
from supervision.models import EvaluationSet


@dataclass(frozen=True)
class SetChanges:
    """What the next version of the evaluation set would have that the current one has not."""

    added: int
    removed: int
    relabelled: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.relabelled)

    def __str__(self) -> str:
        return f"{self.added} photos more, {self.removed} fewer, {self.relabelled} relabelled"


def evaluation_set_freeze(*, by: User | None, reason: str) -> EvaluationSet | None:
    """Make today's evaluation photos the next version of the evaluation set, and return it.

    Those that were excluded in review stay out. Where nothing differs from the current version that
    one is returned, and where there are no evaluation photos, None; neither writes anything.
    Versions of the model are measured anew on it when somebody asks how good they are.
    """
    named = _evaluation_photos()
    with transaction.atomic():
        current = EvaluationSet.objects.select_for_update().order_by("-version").first()
        sha256 = set_sha256(named)
        if not named or (current is not None and current.sha256 == sha256):
            return current
        return EvaluationSet.objects.create(
            version=current.version + 1 if current else 1,
            sha256=sha256,
            n=len(named),
            manifest=named,
            by=by,
            reason=reason,
        )


def evaluation_set_changes() -> SetChanges:
    """Return what has happened to the evaluation photos since the current set was frozen."""
    current = current_evaluation_set()
    before = dict(current.manifest) if current else {}
    now = dict(_evaluation_photos())
    return SetChanges(
        added=len(now.keys() - before.keys()),
        removed=len(before.keys() - now.keys()),
        relabelled=sum(before[sha256] != now[sha256] for sha256 in before.keys() & now.keys()),
    )


def _evaluation_photos() -> list[tuple[str, str]]:
    """Return SHA-256 and species of the evaluation photos that count."""
    photos = Photo.objects.filter(split=Photo.Split.EVALUATION, excluded=False)
    named = photos.annotate(species=F("label__name")).order_by("sha256")
    return list(named.values_list("sha256", "species"))
