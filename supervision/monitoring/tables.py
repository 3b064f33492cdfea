"""The dashboard's tables and charts as plain rows, for spreadsheets: shares are from 0 to 1."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mlmodels.selectors import production_version
from supervision.monitoring.dashboard import DAYS_SHOWN, predictions_by_day, production_periods
from supervision.monitoring.feedback import feedback_counts

Table = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Names of the columns, and rows."""


def _accuracy() -> Table:
    rows = (
        (period.version, one.at.isoformat(), one.accuracy, one.low, one.high, one.n)
        for period in production_periods()
        for one in period.measured
    )
    return ("version", "since", "accuracy", "low", "high", "photos"), rows


def _predictions() -> Table:
    rows = (
        (day.isoformat(), answered, failed)
        for day, answered, failed in predictions_by_day(DAYS_SHOWN)
    )
    return ("day", "answered", "failed"), rows


def _feedback() -> Table:
    version = production_version()
    counts = feedback_counts(version) if version else None
    parts = (("species", counts.by_species), ("score", counts.by_score)) if counts else ()
    rows = (
        (version, name, one.of, one.n, one.agreeing / one.n) for name, part in parts for one in part
    )
    return ("version", "by", "answered", "feedback", "agrees"), rows


DASHBOARD_TABLES: Mapping[str, Callable[[], Table]] = {
    "accuracy": _accuracy,
    "predictions": _predictions,
    "feedback": _feedback,
}
"""By name: returns a table of the dashboard."""
