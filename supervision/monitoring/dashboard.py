"""Reads for the dashboard: accuracy in production over time, predictions a day, and disk use."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.utils import timezone

from common.storage import Alias, file_store
from mlmodels.models import ModelVersion, StageTransition
from predictions.models import Prediction
from predictions.selectors import peoples_predictions
from supervision.models import Evaluation, Summary

DAYS_SHOWN = 30
"""Days of which the predictions are shown."""
MARGIN = timedelta(hours=1)
"""By which transactions that began before midnight have ended."""
PREDICTIONS_BY_DAY = "predictions_by_day"
STORAGE_USE = "storage_use"


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

    Those that ChampiPy asked for by itself are not counted. Days that are final are read from the
    summary; today, and those that it lacks, are counted.
    """
    today = timezone.localdate()
    wanted = [today - timedelta(days=back) for back in reversed(range(days))]
    known = days_counted()
    missing = [day for day in wanted if day not in known]
    counts = known | (day_counts(since=missing[0], until=today) if missing else {})
    return [(day, *(known.get(day) or counts.get(day, (0, 0)))) for day in wanted]


def final_days(days: int, now: datetime) -> list[date]:
    """Return those of the last `days` days to which nothing is added any more.

    That is, they ended MARGIN ago and all their predictions are answered, which takes a day at
    most.
    """
    today = timezone.localdate(now)
    midnight = _midnight(today)
    ended = [today - timedelta(days=back) for back in reversed(range(1, days))]
    pending = Prediction.objects.filter(status=Prediction.Status.PENDING, created_at__lt=midnight)
    is_final = now >= midnight + MARGIN and not pending.exists()
    return ended if is_final else ended[:-1]


def days_counted() -> dict[date, tuple[int, int]]:
    """Return (answered, failed) for each day of the summary: they are final."""
    summary = Summary.objects.filter(name=PREDICTIONS_BY_DAY).first()
    if summary is None or summary.value["timezone"] != timezone.get_current_timezone_name():
        return {}
    first = timezone.localdate() - timedelta(days=DAYS_SHOWN - 1)
    stored = ((date.fromisoformat(day), each) for day, each in summary.value["days"].items())
    return {day: (answered, failed) for day, (answered, failed) in stored if day >= first}


def days_store(counted: dict[date, tuple[int, int]]) -> None:
    """Store the summary of `days_counted`."""
    value = {
        "timezone": timezone.get_current_timezone_name(),
        "days": {day.isoformat(): counts for day, counts in counted.items()},
    }
    Summary.objects.update_or_create(
        name=PREDICTIONS_BY_DAY, defaults={"value": value, "at": timezone.now()}
    )


def day_counts(*, since: date, until: date) -> dict[date, tuple[int, int]]:
    """Count (answered, failed) for each day from `since` to `until` that has predictions."""
    status = Prediction.Status
    rows = (
        peoples_predictions()
        .filter(created_at__gte=_midnight(since), created_at__lt=_midnight(until, days=1))
        .order_by()
        .values_list(TruncDate("created_at"))
        .annotate(
            answered=Count("pk", filter=Q(status=status.DONE)),
            failed=Count("pk", filter=Q(status=status.FAILED)),
        )
    )
    return {day: (answered, failed) for day, answered, failed in rows}


def _midnight(day: date, days: int = 0) -> datetime:
    return timezone.make_aware(datetime.combine(day + timedelta(days=days), datetime.min.time()))


@dataclass(frozen=True)
class StorageUse:
    """Bytes in use, in CHAMPIPY_HOME or in the object store."""

    photos: int
    models: int
    cache: int
    by_user: tuple[tuple[str, int], ...]
    """(name, bytes of the photos that this user asked for first), the largest first. Imported
    photos, and those whose first prediction is gone, are nobody's."""

    at: datetime
    """When they were counted."""

    @property
    def total(self) -> int:
        return self.photos + self.models + self.cache


def storage_use() -> StorageUse | None:
    """Return the bytes in use as they were last counted; None if they never were."""
    summary = Summary.objects.filter(name=STORAGE_USE).first()
    if summary is None:
        return None
    by_user = tuple((name, size) for name, size in summary.value["by_user"])
    return StorageUse(**summary.value | {"by_user": by_user}, at=summary.at)


def folders_use() -> dict[str, int]:
    """Count the bytes of `models` and of the `cache`."""
    home = Path(settings.CHAMPIPY_HOME)
    pictures = _stored_bytes("pictures") if file_store("pictures").is_remote else 0
    return {"models": _stored_bytes("models"), "cache": _folder_bytes(home / "cache") + pictures}


def _stored_bytes(alias: Alias) -> int:
    return sum(file.size for file in file_store(alias).files())


def _folder_bytes(folder: Path) -> int:
    """Return the total size of a folder's files; files that vanish meanwhile are not counted."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total
