"""Lists of observations as CSV, for spreadsheets."""

import csv
import re
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework import renderers

from observations.models import Observation

MAX_ROWS = 10_000
MAX_CHARACTERS = 10_000_000
"""So much is kept for a slow client without a thread of the web process waiting for it."""
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


def csv_response(observations: QuerySet[Observation]) -> StreamingHttpResponse:
    """Return `observations`, ordered by descending id, as CSV, within the bounds above."""
    headers = {"Content-Disposition": 'attachment; filename="observations.csv"'}
    return StreamingHttpResponse(
        _lines(observations), content_type="text/csv; charset=utf-8", headers=headers
    )


def harmless(value: Any) -> str:
    """Return the text of a cell that no spreadsheet takes for a formula or for several cells.

    A text that begins as a formula gets an apostrophe; control characters become spaces.
    """
    text = "" if value is None else re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", str(value))
    return f"'{text}" if re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", text) else text


class _Line:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def _lines(observations: QuerySet[Observation]) -> Iterator[str]:
    writer = csv.writer(_Line(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(COLUMNS)
    rows = characters = 0
    portion = list(observations[:PORTION])
    while portion:
        for observation in portion:
            line = writer.writerow([harmless(cell) for cell in _cells(observation)])
            rows, characters = rows + 1, characters + len(line)
            if rows > MAX_ROWS or characters > MAX_CHARACTERS:
                return
            yield line
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
