"""The number of queries of the most used endpoints: it must not grow unnoticed."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from common import paging
from predictions.models import Prediction
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


def test_a_reused_prediction_takes_four_queries(
    alice: APIClient, django_assert_num_queries
) -> None:
    data = drawn_photo(60)
    answered(upload(data))
    # The token with its user, the version in production, the inference, the insert.
    with django_assert_num_queries(4):
        response = alice.post("/api/v1/predictions", {"file": SimpleUploadedFile("a.jpg", data)})
    assert response.json()["reused"] is True


def test_a_list_takes_three_queries_for_any_number_of_rows(
    bob: APIClient, django_assert_num_queries
) -> None:
    answered(upload(drawn_photo(61)))
    for _ in range(7):
        upload(drawn_photo(61))
    assert Prediction.objects.count() == 8
    with django_assert_num_queries(3):  # the token with its user, the count, the page
        assert len(bob.get("/api/v1/predictions").json()["results"]) == 8


def test_a_filter_of_answers_looks_for_them_once(bob: APIClient, django_assert_num_queries) -> None:
    answered(upload(drawn_photo(61)))
    with django_assert_num_queries(4) as queries:
        found = bob.get("/api/v1/predictions?min_score=0").json()
    assert (found["count"], len(found["results"])) == (1, 1)
    [search, page] = [each["sql"] for each in queries if '"best_score" >=' in each["sql"]]
    assert "LIMIT 10000" in search
    assert f'"predictions_prediction"."id" IN ({found["results"][0]["id"]})' in page


def test_a_long_list_is_counted_up_to_a_limit_and_paged_up_to_it(
    alice: APIClient, bob: APIClient, monkeypatch, django_assert_num_queries
) -> None:
    monkeypatch.setattr(paging, "MAX_COUNTED", 120)
    answered(upload(drawn_photo(61)))
    Prediction.objects.bulk_create(
        Prediction(file=f"{n}.jpg", is_upload=True, status="failed", error_code="not_an_image")
        for n in range(130)
    )
    newest = list(Prediction.objects.order_by("-id").values_list("id", flat=True))
    with django_assert_num_queries(3) as queries:
        first = bob.get("/api/v1/predictions").json()
    assert "LIMIT 120" in queries.captured_queries[1]["sql"]
    with django_assert_num_queries(4):  # whether there are rows beyond
        last = bob.get("/api/v1/predictions?page=3").json()
    assert set(first) == {"count", "next", "previous", "results"}
    assert first["count"] == last["count"] == 120
    assert [row["id"] for row in first["results"]] == newest[:50]
    assert [row["id"] for row in last["results"]] == newest[100:120]
    assert first["next"].endswith("/api/v1/predictions?page=2")
    assert last["next"].endswith(f"/api/v1/predictions?cursor={newest[119]}")
    beyond = bob.get(last["next"]).json()
    assert [row["id"] for row in beyond["results"]] == newest[120:]
    assert (beyond["count"], beyond["next"], beyond["previous"]) == (120, None, None)
    assert bob.get("/api/v1/predictions?page=4").status_code == 404
    assert alice.get("/api/v1/predictions").json()["count"] == 0
