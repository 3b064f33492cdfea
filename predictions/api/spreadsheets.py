"""Lists of predictions as CSV, for spreadsheets."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from common.spreadsheets import csv_response
from predictions.models import Prediction

PORTION = 500
COLUMNS = (
    *("id", "status", "created_at", "file", "sha256", "version", "best_species", "best_score"),
    *("in_scope", "scope_score", "plausible", "proposed", "verdict", "name_score", "error"),
)
SEPARATOR = " | "
"""Between several values of a cell."""


def csv_of(predictions: QuerySet[Prediction]) -> StreamingHttpResponse:
    """Return `predictions`, ordered by descending id, as CSV, within the bounds of all tables."""
    return csv_response("predictions", COLUMNS, _rows(predictions))


def _rows(predictions: QuerySet[Prediction]) -> Iterator[list[Any]]:
    portion = list(predictions[:PORTION])
    while portion:
        yield from map(_cells, portion)
        portion = list(predictions.filter(pk__lt=portion[-1].pk)[:PORTION])


def _cells(prediction: Prediction) -> list[Any]:
    inference, verdict = prediction.inference, prediction.verdict or {}
    answer = (
        (
            *(inference.model_version, inference.best_species, inference.best_score),
            *(inference.in_scope, inference.scope_score),
            SEPARATOR.join(inference.plausible or ()),
        )
        if inference is not None
        else ("",) * 6
    )
    return [
        *(prediction.pk, prediction.status, prediction.created_at.isoformat()),
        *(prediction.file, prediction.sha256, *answer),
        *(prediction.proposed, verdict.get("verdict"), verdict.get("score")),
        prediction.error_code,
    ]
