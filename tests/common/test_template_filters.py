"""Template filters of all pages."""

import pytest

from common.templatetags.champipy import percent, species


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.0, "< 1 %"), (0.6, "1 %"), (96.4, "96 %"), (99.4, "99 %"), (99.5, "> 99 %")],
)
def test_no_score_looks_certain(score: float, text: str) -> None:
    assert percent(score).replace("\u00a0", " ") == text


def test_names_of_species_are_escaped() -> None:
    assert species("A <b>") == '<i lang="la">A &lt;b&gt;</i>'
