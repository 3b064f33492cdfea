"""The dashboard at the top of the admin's index page, filled by the template tag `dashboard`."""

import shutil
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext

from common.paging import MAX_REVIEWED, capped_count
from common.spreadsheets import csv_response
from common.wording import format_bytes
from predictions.models import Photo
from supervision.datasets.selectors import labelled_counts
from supervision.monitoring.dashboard import (
    DAYS_SHOWN,
    ProductionPeriod,
    predictions_by_day,
    production_periods,
    storage_use,
)
from supervision.monitoring.feedback import feedback_counts, waiting_feedback
from supervision.monitoring.selectors import mean_best_score, new_photo_count
from supervision.monitoring.tables import DASHBOARD_TABLES
from supervision.pictures.charts import (
    AccuracyPoint,
    VersionChange,
    accuracy_over_time_svg,
    predictions_per_day_svg,
)
from supervision.review.selectors import filter_waiting
from supervision.trainings.admin.progress import recent_runs

LAST_PREDICTIONS = 100
REDRAW_MINUTES = 10
MAX_USERS = 10
"""Users whose bytes are shown, those with the most."""


def dashboard_table(request: HttpRequest, name: str) -> HttpResponseBase:
    """Return one of the dashboard's tables as CSV."""
    if name not in DASHBOARD_TABLES:
        raise Http404(f"There is no table {name!r} of the dashboard.")
    columns, rows = DASHBOARD_TABLES[name]()
    return csv_response(f"dashboard-{name}", columns, rows)


def dashboard_context() -> dict[str, Any]:
    """Return everything that the dashboard shows."""
    periods = production_periods()
    current = periods[-1] if periods else None
    mean_score, counted = mean_best_score(LAST_PREDICTIONS)
    days = predictions_by_day(DAYS_SHOWN)
    return {
        "production": current,
        "measured": _measured(current),
        "target": settings.CHAMPIPY_TARGET_ACCURACY,
        "accuracy_picture": _accuracy_picture(periods),
        "mean_score": mean_score,
        "counted": counted,
        "new_photos": new_photo_count(current.began) if current else None,
        "new_photos_due": settings.CHAMPIPY_NEW_PHOTOS,
        "labelled": labelled_counts(),
        "days": DAYS_SHOWN,
        "predictions": sum(answered for _, answered, _ in days),
        "failed": sum(failed for _, _, failed in days),
        "predictions_picture": predictions_per_day_svg(days),
        "feedback": feedback_counts(current.version) if current else None,
        "waiting_feedback": waiting_feedback(),
        "waiting_photos": capped_count(
            filter_waiting(Photo.objects.exclude(file="")), MAX_REVIEWED
        ),
        "max_reviewed": MAX_REVIEWED,
        "recent": recent_runs(),
        "disk": _disk(),
    }


def _measured(current: ProductionPeriod | None) -> dict[str, Any] | None:
    """Return the newest accuracy of the version in production, in percent."""
    if current is None or not current.measured:
        return None
    last = current.measured[-1]
    return {
        "accuracy": 100 * last.accuracy,
        "low": 100 * last.low,
        "high": 100 * last.high,
        "n": last.n,
        "at": last.at,
        "is_by_card": last.is_by_card,
        "meets_target": 100 * last.accuracy >= settings.CHAMPIPY_TARGET_ACCURACY,
    }


def _accuracy_picture(periods: list[ProductionPeriod]) -> str:
    """Return a chart of the accuracy over time; an empty string if none was measured.

    Its time axis ends now, a few minutes ago at most: until then the same picture is shown again.
    """
    points = [
        AccuracyPoint(at=one.at, accuracy=one.accuracy, low=one.low, high=one.high)
        for period in periods
        for one in period.measured
    ]
    changes = [VersionChange(at=period.began, version=str(period.version)) for period in periods]
    if not points:
        return ""
    now = timezone.now()
    lately = now.replace(minute=now.minute - now.minute % REDRAW_MINUTES, second=0, microsecond=0)
    last = max(points[-1].at, changes[-1].at)
    return accuracy_over_time_svg(
        points,
        changes,
        target=settings.CHAMPIPY_TARGET_ACCURACY / 100,
        until=lately if lately > last else now,
    )


def _disk() -> dict[str, Any]:
    """Return the bytes in use as they were last counted, and those that are free now."""
    use = storage_use()
    free = format_bytes(shutil.disk_usage(settings.CHAMPIPY_HOME).free)
    if use is None:
        return {"free": free}
    parts = (
        (gettext("photos"), use.photos),
        (gettext("models"), use.models),
        (gettext("cache"), use.cache),
    )
    shown, others = use.by_user[:MAX_USERS], use.by_user[MAX_USERS:]
    return {
        "total": format_bytes(use.total),
        "parts": [(name, format_bytes(size)) for name, size in parts],
        "users": [(name, format_bytes(size)) for name, size in shown],
        "other_users": len(others),
        "others_bytes": format_bytes(sum(size for _, size in others)),
        "free": free,
        "at": use.at,
    }
