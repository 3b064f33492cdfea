"""`POST /predictions/batch`: many URLs, each answered as if it had been sent alone."""

import json

import pytest
from rest_framework.test import APIClient

from accounts.api.throttling import PredictionThrottle
from accounts.models import User
from mlmodels.models import ModelVersion
from predictions import services
from predictions.errors import NotAccepted
from predictions.models import PhotoSource, Prediction
from predictions.selectors import source_key
from tests.support.api import PREDICTIONS, error_of
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload
from tests.support.stack import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]

BATCH = f"{PREDICTIONS}/batch"
NEW = "https://photos.example.com/{}.jpg"


def post(client: APIClient, files: object, **more):
    # json.dumps escapes lone surrogates, so that they reach the server, too.
    body = json.dumps({"files": files, **more})
    return client.post(BATCH, body, content_type="application/json")


def known_url(number: int) -> str:
    """Return a URL whose photo was scored before."""
    url, photo = NEW.format(number), answered(upload(drawn_photo(number))).inference.photo
    PhotoSource.objects.create(
        key=source_key(url), photo=photo, is_permanent=True, fetched_at="2026-01-01T00:00:00Z"
    )
    return url


@pytest.mark.usefixtures("lost_messages")
def test_results_come_in_order_and_a_bad_url_spoils_no_other(alice: APIClient, users) -> None:
    known = known_url(90)
    bad = ["ftp://photos.example.com/a.jpg", "no url", "http://127.0.0.1:1/a.jpg", "a\0b\ud800"]
    response = post(alice, [NEW.format("new"), known, *bad, NEW.format("new")], nb_preds=3)
    assert response.status_code == 202
    results = response.json()["results"]
    assert [row["status"] for row in results] == ["pending", "done", *["failed"] * 4, "pending"]
    assert results[1]["reused"] is True
    assert len(results[1]["predictions"]) == 3
    assert [row["error"]["code"] for row in results[2:6]] == ["url_forbidden"] * 4
    assert [row["file"] for row in results[:2]] == [NEW.format("new"), known]
    assert len({row["id"] for row in results}) == 7
    hers = Prediction.objects.filter(user=users["alice"]).order_by("id")
    assert list(hers.values_list("id", flat=True)) == [row["id"] for row in results]
    assert set(hers.values_list("nb_preds", flat=True)) == {3}
    alone = alice.get(f"{PREDICTIONS}/{results[1]['id']}").json()
    assert alone == results[1]


def test_workers_answer_a_hundred_urls(
    alice: APIClient, workers, photo_server: PhotoServer, settings
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    urls = [f"http://{photo_server.address}/drawn.jpg?{number}" for number in range(99)]
    response = post(alice, [*urls, f"http://{photo_server.address}/missing.jpg"])
    ids = [row["id"] for row in response.json()["results"]]
    pending = Prediction.objects.filter(pk__in=ids, status="pending")
    assert eventually(lambda: not pending.exists(), 60)
    listed = alice.get(f"{PREDICTIONS}?page_size=100").json()["results"]
    assert [row["id"] for row in listed] == ids[::-1]
    assert listed[0]["error"]["code"] == "image_not_found"
    assert {row["status"] for row in listed[1:]} == {"done"}


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({}, "files"),
        ({"files": []}, "files"),
        ({"files": "https://photos.example.com/a.jpg"}, "files"),
        ({"files": [NEW] * 101}, "files"),
        ({"files": [NEW, 5]}, "files.1"),
        ({"files": [NEW, " "]}, "files.1"),
        ({"files": [NEW, None]}, "files.1"),
        ({"files": [NEW], "nb_preds": 11}, "nb_preds"),
        ({"files": [NEW], "nb_preds": 0}, "nb_preds"),
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(alice: APIClient, body, attr: str) -> None:
    response = alice.post(BATCH, body, format="json")
    assert response.status_code == 400
    assert [error["attr"] for error in response.json()["errors"]] == [attr]
    assert Prediction.objects.count() == 0


def test_a_form_is_refused(alice: APIClient) -> None:
    assert alice.post(BATCH, {"files": NEW}, format="multipart").status_code == 415


@pytest.mark.usefixtures("lost_messages")
def test_what_is_beyond_the_quota_fails_by_itself(alice: APIClient, settings) -> None:
    settings.CHAMPIPY_DAILY_PREDICTIONS = 2
    first = post(alice, [NEW.format(number) for number in range(3)])
    assert first.status_code == 202
    codes = [row["error"] and row["error"]["code"] for row in first.json()["results"]]
    assert codes == [None, None, "quota_exceeded"]
    second = post(alice, [NEW.format(number) for number in range(3)])
    assert error_of(second) == (429, "quota_exceeded")
    assert int(second.headers["Retry-After"]) > 0
    assert Prediction.objects.count() == 3, "a batch of which nothing is accepted stores nothing"


@pytest.mark.usefixtures("lost_messages")
def test_a_full_disk_leaves_known_photos_answered(alice: APIClient, monkeypatch) -> None:
    known = known_url(91)

    def full() -> None:
        raise NotAccepted("storage_full")

    monkeypatch.setattr(services, "check_space", full)
    mixed = post(alice, [NEW.format("a"), known])
    assert [row["status"] for row in mixed.json()["results"]] == ["failed", "done"]
    assert mixed.json()["results"][0]["error"]["code"] == "storage_full"
    assert error_of(post(alice, [NEW.format("a")])) == (507, "storage_full")


@pytest.mark.usefixtures("lost_messages")
def test_each_url_counts_towards_the_rate(alice: APIClient, monkeypatch, fresh_rate_limits) -> None:
    monkeypatch.setattr(PredictionThrottle, "rate", "5/min", raising=False)
    assert post(alice, [NEW.format(number) for number in range(4)]).status_code == 202
    assert error_of(post(alice, [NEW.format(1), NEW.format(2)])) == (429, "throttled")
    assert Prediction.objects.count() == 4


@pytest.mark.usefixtures("lost_messages")
def test_an_inference_that_retention_deletes_meanwhile_spoils_no_batch(
    alice: APIClient, monkeypatch, users: dict[str, User], production: ModelVersion
) -> None:
    known = known_url(92)
    found = services.stored_inference

    def found_and_deleted(**arguments):
        inference = found(**arguments)
        if inference is not None:
            Prediction.objects.all().delete()
            type(inference).objects.filter(pk=inference.pk).delete()
        return inference

    monkeypatch.setattr(services, "stored_inference", found_and_deleted)
    predictions = services.predictions_create(
        user=users["alice"], files=[known, NEW.format("b")], nb_preds=1, version=production
    )
    assert [row.status for row in predictions] == ["pending", "pending"]
    assert Prediction.objects.count() == 2
