"""The history of single photos: what a user asked through the API without making a find of it."""

import html
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from common import paging
from observations.models import Observation, ObservationPhoto
from observations.pages import history
from predictions.models import Prediction
from tests.support.pages import submit
from tests.support.rows import answered_prediction, version_row
from tests.support.spreadsheets import csv_lines

pytestmark = pytest.mark.django_db

ORANGE, FLY = "Aleuria aurantia", "Amanita muscaria"


def judged(proposed: str, species: str, verdict: str) -> dict[str, Any]:
    """Return the fields of a prediction with which this name was proposed."""
    because = {"code": verdict, "parameters": {}}
    told = {"verdict": verdict, "score": 12.5, "because": because}
    return {"proposed": proposed, "proposed_species": species, "verdict": told}


@pytest.fixture
def single(users: dict[str, User]) -> list[Prediction]:
    """Return alice's four single photos, oldest first; there are others, too."""
    version, alice = version_row(), users["alice"]
    rows = [
        answered_prediction(
            90, version, user=alice, **judged("Peziza aurantia", ORANGE, "undecided")
        ),
        answered_prediction(80, version, user=alice, **judged("Boletus edulis", "", "not_covered")),
        answered_prediction(70, version, user=alice),
        Prediction.objects.create(
            user=alice, file="=x.jpg", is_upload=True, status="failed", error_code="not_an_image"
        ),
    ]
    of_find = answered_prediction(85, version, user=alice)
    find = Observation.objects.create(user=alice)
    ObservationPhoto.objects.create(observation=find, prediction=of_find)
    answered_prediction(75, version, user=alice, is_background=True)
    answered_prediction(65, version, user=users["bob"])
    return rows


def listed(client: Client, query: str = "") -> list[int]:
    answer = client.get(f"/photos{query}")
    assert answer.status_code == 200
    return [int(pk) for pk in re.findall(r'name="photo" value="(\d+)"', answer.text)]


def test_ones_own_photos_of_no_find_are_listed_newest_first(page, single, admin) -> None:
    assert listed(page) == [row.pk for row in reversed(single)]
    text = page.get("/photos").text
    assert f'<i lang="la">{FLY}</i>, 90\u00a0%' in text
    assert 'href="/finds"' in text
    assert Client().get("/photos").headers["Location"] == "/login?next=/photos"
    assert len(listed(admin)) == 1, "an administrator has a history of their own"
    assert 'href="/photos"' in page.get("/finds").text


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("?verdict=undecided", [0]),
        ("?verdict=supported", []),
        ("?proposed=Aleuria+aurantia", [0]),
        ("?proposed=boletus+Edulis", [1]),
        ("?proposed=Boletus+reticulatus", []),
        ("?verdict=not_covered&proposed=Boletus+edulis", [1]),
        ("?status=failed&verdict=", [3]),
        ("?species=Amanita+muscaria&min_score=75", [1, 0]),
        ("?created_after=2030-01-01", []),
        ("?unknown=1&cursor=x", [3, 2, 1, 0]),
    ],
)
def test_filters_choose(page, single, query, numbers) -> None:
    assert listed(page, query) == [single[number].pk for number in numbers]


@pytest.mark.parametrize(
    "query", ["?verdict=yes", "?created_after=soon", "?species=x", "?status=a"]
)
def test_malformed_filters_are_told(page, single, query) -> None:
    for path in ("/photos", "/photos.csv"):
        answer = page.get(path + query)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text


def test_pages_follow_each_other(page, single, monkeypatch) -> None:
    monkeypatch.setattr(history, "PAGE_SIZE", 3)
    assert listed(page) == [row.pk for row in single[:0:-1]]
    [older] = re.findall(r'rel="next" href="/photos([^"]+)"', page.get("/photos").text)
    assert listed(page, older) == [single[0].pk]


def test_a_filter_of_answers_looks_at_few_rows_and_says_where_it_goes_on(
    page, single, monkeypatch
) -> None:
    monkeypatch.setattr(paging, "MAX_COUNTED", 3)
    query, found, pages = "?species=Amanita+muscaria", [], 0
    while query:
        answer = page.get(f"/photos{query}").text
        found += [int(pk) for pk in re.findall(r'name="photo" value="(\d+)"', answer)]
        following = re.search(r'rel="next" href="/photos(\?[^"]+)"', answer)
        query, pages = html.unescape(following[1]) if following else "", pages + 1
    monkeypatch.setattr(paging, "MAX_COUNTED", 100)
    assert found == listed(page, "?species=Amanita+muscaria") != []
    assert pages == 2  # of three predictions, and of the other three


def test_csv_has_what_the_list_shows(page, single) -> None:
    heads, *rows = csv_lines(page.get("/photos.csv?status=done"))
    assert [row[0] for row in rows] == [str(row.pk) for row in single[2::-1]]
    first = dict(zip(heads, rows[-1], strict=True))
    assert (first["best_species"], first["best_score"], first["verdict"]) == (
        FLY,
        "90.0",
        "undecided",
    )
    assert first["proposed"] == "Peziza aurantia"
    [failed] = csv_lines(page.get("/photos.csv?status=failed"))[1:]
    assert dict(zip(heads, failed, strict=True))["file"] == "'=x.jpg"


def test_photos_are_deleted_once_that_is_confirmed(page, single, users) -> None:
    chosen = {"photo": [single[0].pk, single[3].pk]}
    asked = submit(page, "/photos/delete", chosen)
    assert "Delete these 2 photos?" in asked.text
    assert len(listed(page)) == 4
    done = submit(page, "/photos/delete", chosen | {"confirmed": "1"})
    assert "2 photos were deleted." in page.get(done.headers["Location"]).text
    assert listed(page) == [single[2].pk, single[1].pk]


def test_photos_of_others_and_of_finds_are_not_deleted(page, single, users) -> None:
    others = Prediction.objects.exclude(pk__in=[row.pk for row in single])
    chosen = {"photo": [row.pk for row in others if not row.is_background], "confirmed": "1"}
    done = submit(page, "/photos/delete", chosen)
    assert "Nothing was deleted" in page.get(done.headers["Location"]).text
    assert others.count() == 3


def test_a_list_costs_as_many_queries_as_a_short_one(
    page, single, users, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(12) as short:
        page.get("/photos?status=failed")
    with django_assert_max_num_queries(len(short)):
        page.get("/photos")


def index_of(client: Client, query: str) -> str | None:
    """Return the index by which PostgreSQL finds the predictions of a page; None: it reads all."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/photos{query}").status_code == 200
    [statement] = [each["sql"] for each in queries if "EXISTS" in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        nodes = [cursor.fetchone()[0][0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", ())
    [scan] = [node for node in nodes if node.get("Relation Name") == "predictions_prediction"]
    return scan.get("Index Name")


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("", {"predictions_prediction_pkey", "predictions_user_id_3e23a9_idx"}),
        ("?verdict=contradicted", {"predictions_by_verdict"}),
        ("?proposed=Aleuria+aurantia", {"judged_predictions"}),
    ],
)
def test_among_many_predictions_an_index_finds_the_page(
    page, single, users, query, indexes
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO predictions_prediction
                (user_id, file, is_upload, sha256, nb_preds, proposed, proposed_species, verdict,
                 status, error_code, error_detail, reused, attempts, sends, request_id, created_at)
            SELECT %s, 'a.jpg', true, '', 1,
                   CASE WHEN n %% 500 = 0 THEN 'Aleuria aurantia' ELSE '' END,
                   CASE WHEN n %% 500 = 0 THEN 'Aleuria aurantia' ELSE '' END,
                   CASE WHEN n %% 500 = 0 THEN '{"verdict": "supported", "score": 9}'::jsonb END,
                   'failed', 'not_an_image', '', false, 0, 0, '', now()
            FROM generate_series(1, 30000) AS n
            """,
            [users["alice"].pk],
        )
        cursor.execute("ANALYZE predictions_prediction")
    assert index_of(page, query) in indexes
