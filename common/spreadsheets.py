"""Tables as CSV for spreadsheets, within bounds, and harmless to who opens them."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse

MAX_ROWS = 10_000
MAX_CHARACTERS = 10_000_000
"""So much is kept for a slow client without a thread of the web process waiting for it."""


def csv_response(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """Return `rows` under the headings `columns` as the file `name`.csv, within the bounds above.

    `rows` may be a generator: it is read while the response is sent, and no further than needed.
    """
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingHttpResponse(
        _lines(columns, rows), content_type="text/csv; charset=utf-8", headers=headers
    )


def harmless(value: Any) -> str:
    """Return the text of a cell that no spreadsheet takes for a formula or for several cells.

    A text that begins as a formula gets an apostrophe; control characters become spaces. Numbers
    stay as they are, negative ones too.
    """
    if isinstance(value, int | float):
        return str(value)
    text = "" if value is None else re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", str(value))
    return f"'{text}" if re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", text) else text


class _Line:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def _lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    writer = csv.writer(_Line(), quoting=csv.QUOTE_ALL)
    yield writer.writerow([harmless(column) for column in columns])
    characters = 0
    for number, row in enumerate(rows, start=1):
        line = writer.writerow([harmless(cell) for cell in row])
        characters += len(line)
        if number > MAX_ROWS or characters > MAX_CHARACTERS:
            return
        yield line
