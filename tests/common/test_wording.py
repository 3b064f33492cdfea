"""Numbers as people read them."""

import pytest
from django.utils.translation import override

from common.wording import format_bytes, format_share


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 MB"), (1, "0 kB"), (310_499, "310 kB"), (12.4e6, "12 MB"), (1.34e9, "1.3 GB")],
)
def test_bytes_are_told_in_a_unit_that_suits_them(count: float, text: str) -> None:
    assert format_bytes(count) == text


def test_shares_are_told_in_percent_as_the_language_writes_it() -> None:
    assert format_share(0.934) == "93.4\N{NO-BREAK SPACE}%"
    with override("fr"):
        assert format_share(0.934) == "93,4\N{NO-BREAK SPACE}%"
