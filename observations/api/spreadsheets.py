"""Lists of observations as CSV, for spreadsheets."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework import renderers

from common.spreadsheets import csv_response
from observations.models import Observation

PORTION = 200
COLUMNS = (
    *("id", "status", "created_at", "source", "url", "photos", "best_species", "best_score"),
    *("in_scope", "scope_score", "plausible", "proposed", "verdicts", "name_scores"),
    *("decision", "decision_name", "note", "decided_at", "error"),
)
SEPARATOR = " | "
"""Between several values of a cell."""


class CsvRenderer(renderers.BaseRenderer):
    """Lets clients ask for text/csv. Errors are JSON all the same."""

    media_type = "text/csv"
    format = "csv"


def csv_of(observations: QuerySet[Observation]) -> StreamingHttpResponse:
    """Return `observations`, ordered by descending id, as CSV, within the bounds of all tables."""
    return csv_response("observations", COLUMNS, _rows(observations))


def _rows(observations: QuerySet[Observation]) -> Iterator[list[Any]]:
    portion = list(observations[:PORTION])
    while portion:
        for observation in portion:
            yield _cells(observation)
        portion = list(observations.filter(pk__lt=portion[-1].pk)[:PORTION])


def _cells(observation: Observation) -> list[Any]:
    names = list(observation.names.all())
    answer = observation.answer or {}
    best = (answer.get("predictions") or [{}])[0]
    scope = answer.get("scope") or {}
    return [
        observation.pk,
        observation.status,
        observation.created_at.isoformat(),
        observation.source,
        observation.url,
        SEPARATOR.join(photo.prediction.file for photo in observation.photos.all()),
        best.get("species"),
        best.get("score"),
        scope.get("in_scope"),
        scope.get("score"),
        SEPARATOR.join(answer.get("plausible") or ()),
        SEPARATOR.join(name.name for name in names),
        SEPARATOR.join(name.verdict for name in names),
        SEPARATOR.join("" if name.score is None else str(name.score) for name in names),
        observation.decision,
        observation.decision_name,
        observation.note,
        observation.decided_at and observation.decided_at.isoformat(),
        observation.error_code,
    ]
