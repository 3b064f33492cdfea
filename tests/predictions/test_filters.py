"""The filters and pages of `GET /predictions`."""

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from common import paging
from mlmodels.models import ModelVersion, Species, SpeciesName
from predictions.models import Prediction
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(users) -> list[Prediction]:
    """Create alice's predictions: two species with different scores, one failed, one pending."""
    version: ModelVersion = version_row()
    hers = {"user": users["alice"]}
    done = [answered_prediction(score, version, **hers) for score in (95.0, 20.0, 60.0)]
    failed = Prediction.objects.create(
        file="b.jpg", is_upload=True, status="failed", error_code="not_an_image", **hers
    )
    pending = Prediction.objects.create(file="c.jpg", is_upload=True, sha256="c" * 64, **hers)
    Prediction.objects.filter(pk=done[0].pk).update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    return [*done, failed, pending]


def listed(client: APIClient, **query: object) -> list[int]:
    response = client.get(f"/api/v1/predictions?{urlencode(query)}")
    assert response.status_code == 200, response.json()
    return [row["id"] for row in response.json()["results"]]


def test_filters_choose_predictions_and_combine(alice: APIClient, rows: list[Prediction]) -> None:
    high, low, middle, failed, pending = [row.pk for row in rows]
    second = rows[0].inference.model_version.labels[1]
    assert listed(alice) == [pending, failed, middle, low, high]
    assert listed(alice, status="done") == [middle, low, high]
    assert listed(alice, status="failed") == [failed]
    assert listed(alice, min_score=80) == [low, high]  # 20 % for one species, 80 % for another
    assert listed(alice, species=second) == [middle, high]
    assert listed(alice, species=second.upper(), min_score=90) == [high]
    SpeciesName.objects.create(
        species=Species.objects.get(name=second), name="Agaricus alius", key="agaricus alius"
    )
    assert listed(alice, species="agaricus_alius (L.) Fr.") == [middle, high]
    assert listed(alice, created_after="2026-01-01T00:00:00Z") == [pending, failed, middle, low]
    assert listed(alice, created_after="2025-12-31T23:59:59+00:00", status="done") == [
        *(middle, low, high),
    ]
    assert listed(alice, page_size=2) == [pending, failed]


def test_filters_show_nobody_elses_predictions(alice: APIClient, bob: APIClient, rows, users):
    others = Prediction.objects.create(
        user=users["bob"], file="d.jpg", is_upload=True, status="failed", error_code="x"
    )
    assert others.pk not in listed(alice, status="failed")
    assert others.pk in listed(bob, status="failed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "finished"),
        ("status", ""),
        ("species", "Russula emetica"),
        ("species", "a\0b"),
        ("min_score", "high"),
        ("min_score", "nan"),
        ("min_score", "101"),
        ("created_after", "yesterday"),
        ("created_after", "0001-01-01T00:00:00+14:00"),
        ("page_size", "0"),
        ("page_size", "101"),
        ("page_size", "-1"),
        ("page_size", "x"),
        ("cursor", "x"),
        ("cursor", "-1"),
        ("cursor", str(2**63)),
    ],
)
def test_a_malformed_filter_is_refused_and_named(alice: APIClient, name: str, value: str) -> None:
    response = alice.get(f"/api/v1/predictions?{urlencode({name: value})}")
    assert response.status_code == 400
    assert [error["attr"] for error in response.json()["errors"]] == [name]


def test_page_and_cursor_exclude_each_other(alice: APIClient) -> None:
    response = alice.get("/api/v1/predictions?page=1&cursor=5")
    assert response.status_code == 400
    assert "not both" in response.json()["errors"][0]["detail"]


def test_a_cursor_goes_on_beyond_the_counted_rows_and_keeps_the_filters(
    alice: APIClient, rows: list[Prediction], monkeypatch
) -> None:
    monkeypatch.setattr(paging, "MAX_COUNTED", 2)
    url: str | None = "/api/v1/predictions?status=done&page_size=1"
    pages = []
    while url:
        page = alice.get(url).json()
        assert page["count"] == 2
        pages += [[row["id"] for row in page["results"]]]
        url = page["next"]
    assert pages == [[row.pk] for row in reversed(rows[:3])]
    assert listed(alice, cursor=rows[0].pk) == []


def test_filters_of_answers_look_at_a_bounded_number_of_rows_and_miss_none(
    alice: APIClient, rows: list[Prediction], monkeypatch
) -> None:
    """No index knows which predictions have an answer like this: a page may be empty, and go on."""
    monkeypatch.setattr(paging, "MAX_COUNTED", 2)
    high, low = rows[0].pk, rows[1].pk
    url: str | None = "/api/v1/predictions?min_score=80"
    pages = []
    while url:
        page = alice.get(url).json()
        pages.append((page["count"], [row["id"] for row in page["results"]]))
        url = page["next"]
    # Of the newest two predictions one failed and one is pending.
    assert pages == [(0, []), (0, [low]), (0, [high])]
    assert alice.get("/api/v1/predictions?min_score=80&status=done").json()["count"] == 1
