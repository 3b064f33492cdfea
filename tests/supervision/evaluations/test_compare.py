"""Two versions side by side."""

import re
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from mlmodels.models import ModelVersion
from supervision.datasets.selectors import evaluation_set
from supervision.evaluations.parameters import parameter_rows
from supervision.evaluations.services import version_evaluate
from tests.support.spreadsheets import csv_lines
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db

LIST = "/admin/mlmodels/modelversion/"
PAGE = f"{LIST}compare/"


@pytest.fixture
def pair(production: ModelVersion, evaluation_photos) -> tuple[ModelVersion, ModelVersion]:
    """Return the version in production and one that names every photo wrongly."""
    worse = another_version(temperature=0.5, shift=1)
    for version in (production, worse):
        held_out = evaluation_set(version.labels)
        assert held_out is not None
        version_evaluate(version=version, held_out=held_out)
    return production, worse


def test_two_versions_stand_side_by_side(admin: Client, pair) -> None:
    first, second = pair
    html = admin.get(PAGE, {"a": first.pk, "b": second.pk}).content.decode()
    assert "Of 8 photos, 8 are named correctly only by VGG16 1, 0 only by VGG16 2" in html
    assert html.count('loading="lazy"') == 8
    assert "only VGG16 1 is right: 8" in html
    assert '<tr class="differs"><th scope="row">temperature' in html
    assert '<tr><th scope="row">learning rate</th>' in html
    assert "Promote" not in html.partition('id="content-main"')[2]
    nobody = admin.get(PAGE, {"a": first.pk, "b": second.pk, "right": "current"})
    assert 'loading="lazy"' not in nobody.content.decode()


def test_the_order_of_both_may_be_any(admin: Client, pair) -> None:
    first, second = pair
    html = admin.get(PAGE, {"a": second.pk, "b": first.pk}).content.decode()
    assert "Of 8 photos, 0 are named correctly only by VGG16 2, 8 only by VGG16 1" in html


def test_what_was_not_measured_is_measured_first(
    admin: Client, production, evaluation_photos
) -> None:
    other = another_version(temperature=0.5)
    html = admin.get(PAGE, {"a": production.pk, "b": other.pk}).content.decode()
    assert "0 of 16" in html
    assert 'http-equiv="refresh"' in html


def test_the_tables_of_a_comparison_come_as_csv(admin: Client, pair) -> None:
    first, second = pair
    query = {"a": first.pk, "b": second.pk}
    heading, *rows = csv_lines(admin.get(PAGE, {**query, "csv": "parameters"}))
    assert heading == ["parameter", "VGG16 1", "VGG16 2"]
    assert ["temperature", f"{first.temperature:.4g}", "0.5"] in rows
    assert csv_lines(admin.get(PAGE, {**query, "csv": "figures"}))[1][1].startswith("100.0\xa0%")
    species = csv_lines(admin.get(PAGE, {**query, "csv": "species"}))
    assert species[0] == ["species", "photos", "VGG16 1", "VGG16 2", "difference"]
    _, *photos = csv_lines(admin.get(PAGE, {**query, "csv": "photos"}))
    assert [row[-1] for row in photos] == ["VGG16 1"] * 8
    assert admin.get(PAGE, {**query, "csv": "secrets"}).status_code == 404


def test_the_tables_of_a_promotion_are_those_of_a_comparison(admin: Client, pair) -> None:
    production, candidate = pair
    html = admin.get(f"{LIST}{candidate.pk}/promote/").content.decode()
    links = re.findall(r'href="([^"]+)" download', html)
    assert len(links) == 3
    columns = [csv_lines(admin.get(unescape(link)))[0] for link in links]
    assert columns[0] == ["figure", str(candidate), str(production)]
    assert columns[1][0] == "species"
    assert columns[2][0] == "sha256"


@pytest.mark.parametrize("query", ["a=1&b=1", "a=x&b=2", "a=99999999999999999999&b=1", "a=1", ""])
def test_a_pair_that_is_none_shows_the_form_again(admin: Client, production, query: str) -> None:
    response = admin.get(f"{PAGE}?{query.replace('1', str(production.pk), 1)}")
    assert response.status_code == 200
    assert "<table" not in response.content.decode().partition('id="content-main"')[2]


@pytest.mark.parametrize("more", [{"right": "nobody"}, {"page": "x"}, {"page": "99999999999"}])
def test_photos_that_cannot_be_are_not_found(admin: Client, pair, more: dict[str, str]) -> None:
    query = {"a": pair[0].pk, "b": pair[1].pk}
    assert admin.get(PAGE, {**query, **more}).status_code == 404


def test_two_selected_versions_are_compared(admin: Client, production) -> None:
    other = another_version(temperature=0.5)
    action = {"action": "compare_selected", "_selected_action": [other.pk, production.pk]}
    answer = admin.post(LIST, action)
    assert answer.headers["Location"] == f"{PAGE}?a={production.pk}&b={other.pk}"
    answer = admin.post(LIST, {**action, "_selected_action": [other.pk]})
    assert [str(each) for each in get_messages(answer.wsgi_request)] == [
        "Select two rows to compare them."
    ]


def test_nested_parameters_have_a_row_each() -> None:
    first = {"pooling": {"blocks": [3, 4], "centre": 0.45}, "views": 2}
    rows = parameter_rows(first, {"views": 2, "minutes": 24.99796})
    assert [(row.name, row.first, row.second, row.differs) for row in rows] == [
        ("minutes", "", "25", True),
        ("pooling blocks", "3, 4", "", True),
        ("pooling centre", "0.45", "", True),
        ("views", "2", "2", False),
    ]
