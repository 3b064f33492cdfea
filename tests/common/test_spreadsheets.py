"""CSV: harmless cells, and bounds."""

import csv
import io
from collections.abc import Iterator

import pytest

from common import spreadsheets
from common.spreadsheets import csv_response, harmless


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        *(("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)")),
        *(("\t=1", "' =1"), ("\r=1", "' =1"), ("  =1", "'  =1"), ("\uff1d1", "'\uff1d1")),
        *(("a\r\nb", "a b"), ("a=1", "a=1"), (None, ""), (5, "5"), ("", "")),
        *((-1.5, "-1.5"), (True, "True")),
    ],
)
def test_cells_are_harmless(value: object, cell: str) -> None:
    assert harmless(value) == cell


def test_rows_are_read_no_further_than_the_bounds(monkeypatch) -> None:
    read = []

    def rows() -> Iterator[tuple[int, str]]:
        for number in range(100):
            read.append(number)
            yield number, "=1+1"

    monkeypatch.setattr(spreadsheets, "MAX_ROWS", 3)
    response = csv_response("numbers", ("number", "@text"), rows())
    assert response.headers["Content-Disposition"] == 'attachment; filename="numbers.csv"'
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response.streaming_content).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["number", "'@text"],
        *([str(number), "'=1+1"] for number in range(3)),
    ]
    assert read == [0, 1, 2, 3]
