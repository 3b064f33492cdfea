"""Reads for the dashboard: accuracy in production over time, predictions a day, and disk use."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from mlmodels.models import ModelVersion, StageTransition
from predictions.models import Photo, Prediction
from supervision.models import Evaluation


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
    """Return (day, answered, failed) for each of the last `days` days, ending with today."""
    today = timezone.localdate()
    first = today - timedelta(days=days - 1)
    begins = timezone.make_aware(datetime.combine(first, datetime.min.time()))
    status = Prediction.Status
    rows = (
        Prediction.objects.filter(created_at__gte=begins)
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


def home_bytes() -> dict[str, int]:
    """Return the bytes that photos, models and the cache use in CHAMPIPY_HOME."""
    home = Path(settings.CHAMPIPY_HOME)
    return {
        "photos": Photo.objects.aggregate(total=Sum("bytes"))["total"] or 0,
        "models": _folder_bytes(home / "models"),
        "cache": _folder_bytes(home / "cache"),
    }


def _folder_bytes(folder: Path) -> int:
    """Return the total size of a folder's files; files that vanish meanwhile are not counted."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total
