"""Verifiers' pages in French: words, numbers for people, and numbers for browsers."""

import re
from html import unescape

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from accounts.models import User
from mlmodels.selectors import production_version
from observations.models import Observation
from observations.services import observation_create
from tests.support.observations import finished
from tests.support.pages import HTMX, browser_of
from tests.support.photos import drawn_photo
from tests.support.predictions import unsent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("production", "lost_messages"),
]

NUMBERS = re.compile(
    r'<(?:meter|progress|img|input type="(?:range|number)")\b[^>]*?'
    r'\b(?:value|max|min|low|high|optimum|width|height)="([^"]*)"'
)


@pytest.fixture
def find(users: dict[str, User]) -> Observation:
    """Return a find of alice's, who reads French, with two proposed names."""
    users["alice"].language = "fr"
    users["alice"].save()
    observation = observation_create(
        user=users["alice"],
        photos=[ContentFile(drawn_photo(seed), name="a.jpg") for seed in (910, 911)],
        proposed=["Aleuria aurantia", "Boletus"],
        version=production_version(),
        send=unsent,
    )
    finished()
    observation.refresh_from_db()
    return observation


@pytest.fixture
def browser(users: dict[str, User]) -> Client:
    return browser_of(users["alice"])


def paths(find: Observation) -> list[str]:
    return ["/", "/queue", "/finds", "/account", f"/finds/{find.pk}", f"/finds/{find.pk}/why"]


def test_pages_are_in_french_and_their_attributes_in_numbers(find, browser: Client) -> None:
    seen = []
    for path in paths(find):
        page = browser.get(path)
        assert page.status_code == 200, path
        assert '<html lang="fr">' in page.text, path
        assert page.headers["Content-Language"] == "fr"
        seen += NUMBERS.findall(page.text)
    assert len(seen) > 5
    assert [each for each in seen if not re.fullmatch(r"-?\d+(\.\d+)?", each)] == []


def test_an_answer_is_told_in_french_with_decimal_commas(find, browser: Client) -> None:
    page = unescape(browser.get(f"/finds/{find.pk}").text)
    assert "Un genre seul n'est pas évalué." in page
    assert re.search(r"\d,\d+\s%", page)
    assert not re.search(r">[^<]*\d\.\d+\s?%", page)
    assert re.search(r'value="\d+\.\d+"', page), "browsers read no comma"


def test_a_piece_of_a_page_is_in_french_too(find, browser: Client) -> None:
    piece = browser.get(f"/finds/{find.pk}/why", headers=HTMX).text
    assert "<html" not in piece
    assert "Montrer les indices" in piece


def test_a_failure_is_shown_in_the_language_of_each_reader(users, browser: Client) -> None:
    users["alice"].language = "fr"
    users["alice"].save()
    observation = observation_create(
        user=users["alice"],
        photos=[ContentFile(b"no photo", name="a.jpg")],
        proposed=[],
        version=production_version(),
        send=unsent,
    )
    finished()
    path = f"/finds/{observation.pk}"
    assert "Ce n'est pas une photo." in unescape(browser.get(path).text)
    assert "This is not a photo." in unescape(browser_of(users["bob"]).get(path).text)
