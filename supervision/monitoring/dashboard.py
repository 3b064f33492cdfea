"""Reads for the dashboard: accuracy in production over time, predictions a day, and disk use."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import cast

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from mlmodels.models import ModelVersion, StageTransition
from predictions.models import Photo, Prediction
from predictions.selectors import peoples_predictions
from supervision.models import Evaluation

STORAGE_USE_S = 60
"""How long the bytes in use are remembered: counting them reads all photos' rows and folders."""


@dataclass(frozen=True)
class AccuracyMeasurement:
    """A version's accuracy on one evaluation set."""

    at: datetime
    """When it was measured; the beginning of the version's time in production if that is later."""
    accuracy: float
    """0 to 1; so are `low` and `high`, the bounds of the 95 % interval."""
    low: float
    high: float
    n: int
    is_by_card: bool
    """Taken from the model card: measured when the version was made, not here."""


@dataclass(frozen=True)
class ProductionPeriod:
    """A version's time in production."""

    version: ModelVersion
    """Without its card, files and labels."""
    began: datetime
    measured: tuple[AccuracyMeasurement, ...]
    """Oldest first; empty if the version was never measured."""


def production_periods() -> list[ProductionPeriod]:
    """Return the versions' periods in production, oldest first, with their measured accuracy.

    Makes two queries. The version of the last period is still in production, if any version is.
    """
    version = "model_version"
    promotions = list(
        StageTransition.objects.filter(to_stage=ModelVersion.Stage.PRODUCTION)
        .order_by("id")
        .select_related(version)
        .defer("gate", f"{version}__card", f"{version}__files", f"{version}__labels")
    )
    evaluations = list(
        Evaluation.objects.filter(model_version__in={one.model_version_id for one in promotions})
        .order_by("evaluated_at")
        .values_list("model_version", "evaluated_at", "accuracy", "metrics__ci95", "n")
    )
    ends = [*(promotion.created_at for promotion in promotions), timezone.now()][1:]
    return [
        ProductionPeriod(
            version=promotion.model_version,
            began=promotion.created_at,
            measured=_measured(promotion, end, evaluations),
        )
        for promotion, end in zip(promotions, ends, strict=True)
    ]


def _measured(
    promotion: StageTransition, end: datetime, evaluations: Sequence[tuple]
) -> tuple[AccuracyMeasurement, ...]:
    """Return the accuracy known of a version while it was in production, oldest first.

    The period begins with the last measurement before it or, without one, with the model card's.
    """
    began, card = promotion.created_at, promotion.model_version.metrics.get("evaluation")
    known = [
        AccuracyMeasurement(max(at, began), accuracy, low, high, n, is_by_card=False)
        for pk, at, accuracy, (low, high), n in evaluations
        if pk == promotion.model_version_id and at < end
    ]
    before = [one for one in known if one.at == began]
    if not before and card:
        low, high = card["ci95"]
        before = [
            AccuracyMeasurement(began, card["accuracy"], low, high, card["n"], is_by_card=True)
        ]
    return (*before[-1:], *(one for one in known if one.at > began))


def predictions_by_day(days: int) -> list[tuple[date, int, int]]:
    """Return (day, answered, failed) for each of the last `days` days, ending with today.

    Those that ChampiPy asked for by itself are not counted.
    """
    today = timezone.localdate()
    first = today - timedelta(days=days - 1)
    begins = timezone.make_aware(datetime.combine(first, datetime.min.time()))
    status = Prediction.Status
    rows = (
        peoples_predictions()
        .filter(created_at__gte=begins)
        .order_by()
        .values_list(TruncDate("created_at"))
        .annotate(
            answered=Count("pk", filter=Q(status=status.DONE)),
            failed=Count("pk", filter=Q(status=status.FAILED)),
        )
    )
    counts = {day: (answered, failed) for day, answered, failed in rows}
    all_days = (first + timedelta(days=index) for index in range(days))
    return [(day, *counts.get(day, (0, 0))) for day in all_days]


@dataclass(frozen=True)
class StorageUse:
    """Bytes in use in CHAMPIPY_HOME."""

    photos: int
    models: int
    cache: int
    by_user: tuple[tuple[str, int], ...]
    """(name, bytes of the photos that this user asked for first), the largest first. Imported
    photos, and those whose first prediction is gone, are nobody's."""

    @property
    def total(self) -> int:
        return self.photos + self.models + self.cache


def storage_use() -> StorageUse:
    """Return the bytes in use, as read at most STORAGE_USE_S seconds ago by this process."""
    use = cache.get_or_set("storage_use", _read_storage_use, STORAGE_USE_S)
    return cast(StorageUse, use)


def _read_storage_use() -> StorageUse:
    home = Path(settings.CHAMPIPY_HOME)
    stored = Photo.objects.exclude(file="")
    return StorageUse(
        photos=stored.aggregate(total=Sum("bytes"))["total"] or 0,
        models=_folder_bytes(home / "models"),
        cache=_folder_bytes(home / "cache"),
        by_user=_bytes_by_user(),
    )


def _bytes_by_user() -> tuple[tuple[str, int], ...]:
    """Return StorageUse.by_user. The first prediction of a photo is one that was not reused."""
    scored = Prediction.objects.filter(status=Prediction.Status.DONE, reused=False).order_by()
    first = scored.values("inference__photo").annotate(first=Min("pk")).values("first")
    users = (
        Prediction.objects.filter(pk__in=first, user__isnull=False)
        .exclude(inference__photo__file="")
        .order_by()
        .values("user__username")
        .annotate(total=Sum("inference__photo__bytes"))
    )
    return tuple(users.order_by("-total", "user__username").values_list("user__username", "total"))


def _folder_bytes(folder: Path) -> int:
    """Return the total size of a folder's files; files that vanish meanwhile are not counted."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total
