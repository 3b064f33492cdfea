"""Reads the CSV of responses."""

import csv
import io
from typing import Any


def csv_lines(response: Any) -> list[list[str]]:
    """Return the lines of a CSV response, the headings first."""
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith("attachment; filename=")
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))


def csv_rows(response: Any) -> list[dict[str, str]]:
    """Return the rows of a CSV response by the headings of their columns."""
    headings, *lines = csv_lines(response)
    return [dict(zip(headings, line, strict=True)) for line in lines]
