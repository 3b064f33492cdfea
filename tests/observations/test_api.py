"""`POST /observations`: the photos of a find are scored one by one and told together."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from rest_framework.test import APIClient

from accounts.api.throttling import PredictionThrottle
from accounts.models import IdempotencyKey, User
from mlmodels.ml.answers import answer_of
from mlmodels.ml.finds import find_scope, find_scores
from mlmodels.models import ModelVersion
from mlmodels.selectors import answer_calibration
from observations import services
from observations.models import Observation, ObservationPhoto, ProposedName
from predictions.errors import NotAccepted
from predictions.models import Inference, Prediction
from tests.support.api import assert_nothing_left, client_of, error_of
from tests.support.files import incoming_path
from tests.support.observations import OBSERVATIONS, finished, post_photos, post_urls
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload
from tests.support.stack import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]

URL = "https://photos.example.com/{}.jpg"


def test_workers_tell_two_photos_of_one_find_together(
    alice: APIClient, workers, photo_server: PhotoServer, real_photos, settings
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    first, second = sorted((real_photos / "evaluation" / "Aleuria_aurantia").glob("*"))[:2]
    urls = [
        photo_server.url(f"evaluation/Aleuria_aurantia/{path.name}") for path in (first, second)
    ]
    names = ["aleuria_aurantia (Pers.) Fuckel", "Amanita muscaria", "Amanita"]
    response = post_urls(alice, urls, names)
    assert response.status_code == 200, response.json()
    told = response.json()
    assert told["status"] == "done"
    assert [photo["file"] for photo in told["photos"]] == urls
    assert [photo["status"] for photo in told["photos"]] == ["done", "done"]
    assert told["predictions"][0]["species"] == "Aleuria aurantia"
    assert sum(row["score"] for row in told["predictions"]) == pytest.approx(100, abs=0.06)
    assert told["scope"]["in_scope"] is True
    assert told["plausible"] == ["Aleuria aurantia"]
    assert [row["proposed"] for row in told["verdicts"]] == names
    assert [row["verdict"] for row in told["verdicts"]] == [
        *("supported", "contradicted", "not_covered"),
    ]
    assert told["verdicts"][0]["species"] == "Aleuria aurantia"
    assert all(row["because"] for row in told["verdicts"])
    assert alice.get(f"{OBSERVATIONS}/{told['id']}").json() == told
    # The same photos again: nothing has to be scored.
    again = post_urls(alice, urls, ["Aleuria aurantia"]).json()
    assert [photo["reused"] for photo in again["photos"]] == [True, True]
    assert again["predictions"] == told["predictions"]


@pytest.mark.usefixtures("lost_messages")
def test_the_answer_is_the_rule_applied_to_the_photos(
    alice: APIClient, production: ModelVersion
) -> None:
    for number in (1, 2, 3):
        answered(upload(drawn_photo(number)))
    told = post_photos(alice, [drawn_photo(number) for number in (1, 2, 3)]).json()
    inferences = Inference.objects.order_by("pk")
    calibration = answer_calibration(production)
    expected = answer_of(
        find_scores([[score / 100 for score in each.scores] for each in inferences]),
        find_scope([(each.scope_score or 0) / 100 for each in inferences]),
        calibration,
    )
    best = max(expected.scores)
    assert told["predictions"][0]["score"] == pytest.approx(100 * best, abs=0.01)
    assert told["scope"]["score"] == pytest.approx(100 * expected.scope, abs=0.01)
    assert told["plausible"] == [production.labels[index] for index in expected.plausible]


@pytest.mark.usefixtures("lost_messages")
def test_one_photo_is_told_as_its_prediction_and_a_repeated_one_counts_once(
    alice: APIClient,
) -> None:
    answered(upload(drawn_photo(4)))
    once = post_photos(alice, [drawn_photo(4)], ["Aleuria aurantia"]).json()
    twice = post_photos(alice, [drawn_photo(4)] * 2, ["Aleuria aurantia"]).json()
    [photo] = once["photos"]
    assert once["predictions"][0] == photo["predictions"][0]
    assert once["scope"] == photo["scope"]
    assert once["plausible"] == photo["plausible"]
    for field in ("predictions", "scope", "plausible", "verdicts"):
        assert once[field] == twice[field]


@pytest.mark.usefixtures("lost_messages")
def test_it_is_pending_until_all_photos_are_answered(alice: APIClient) -> None:
    data = [drawn_photo(number) for number in (5, 6)]
    response = post_photos(alice, data, ["Aleuria aurantia"])
    assert response.status_code == 202
    told = response.json()
    path = response.headers["Location"]
    assert path == f"{OBSERVATIONS}/{told['id']}"
    assert response.headers["Retry-After"] == "1"
    assert told["predictions"] is told["scope"] is told["plausible"] is None
    assert told["verdicts"] == [
        {
            **{"proposed": "Aleuria aurantia", "species": "Aleuria aurantia"},
            **{"verdict": None, "score": None, "because": None, "naming": None},
        }
    ]
    first, second = Prediction.objects.order_by("pk")
    answered(first)
    assert alice.get(path).json()["status"] == "pending"
    answered(second)
    assert alice.get(path).json()["status"] == "done"


@pytest.mark.usefixtures("lost_messages")
def test_photos_that_fail_are_left_out(alice: APIClient) -> None:
    answered(upload(drawn_photo(7)))
    response = post_photos(alice, [b"no photo", drawn_photo(7)], ["Aleuria aurantia"])
    finished()
    told = alice.get(f"{OBSERVATIONS}/{response.json()['id']}").json()
    assert told["status"] == "done"
    assert [photo["status"] for photo in told["photos"]] == ["failed", "done"]
    assert told["photos"][0]["error"]["code"] == "not_an_image"
    assert told["predictions"][0] == told["photos"][1]["predictions"][0]
    assert told["verdicts"][0]["verdict"]


def test_if_all_photos_fail_it_fails_with_the_first_error(alice: APIClient) -> None:
    bad = ["ftp://photos.example.com/a.jpg", "http://127.0.0.1:1/b.jpg"]
    response = post_urls(alice, bad, ["Aleuria aurantia"])
    assert error_of(response) == (422, "url_forbidden")
    [error] = response.json()["errors"]
    assert error["detail"].startswith("None of the 2 photos could be used. The first: ")
    [row] = alice.get(OBSERVATIONS).json()["results"]
    assert row["status"] == "failed"
    assert row["error"] == {"code": "url_forbidden", "detail": error["detail"]}
    assert row["predictions"] is None
    assert row["verdicts"][0]["verdict"] is None
    assert_nothing_left()


@pytest.mark.usefixtures("lost_messages")
def test_photos_beyond_the_quota_are_left_out(alice: APIClient, settings) -> None:
    for number in (8, 9):
        answered(upload(drawn_photo(number)))
    settings.CHAMPIPY_DAILY_PREDICTIONS = 1
    told = post_photos(alice, [drawn_photo(8), drawn_photo(9)]).json()
    assert told["status"] == "done"
    assert [photo["error"] and photo["error"]["code"] for photo in told["photos"]] == [
        *(None, "quota_exceeded"),
    ]
    refused = post_photos(alice, [drawn_photo(8), drawn_photo(9)])
    assert error_of(refused) == (429, "quota_exceeded")
    assert Observation.objects.count() == 1, "an observation without a photo is not stored"


@pytest.mark.usefixtures("lost_messages")
def test_photos_keep_their_order_whatever_is_refused(alice: APIClient, monkeypatch) -> None:
    answered(upload(drawn_photo(12)))

    def full() -> None:
        raise NotAccepted("storage_full")

    monkeypatch.setattr("predictions.services.check_space", full)
    told = post_photos(alice, [drawn_photo(13), drawn_photo(12), b"new, too"]).json()
    assert [photo["file"] for photo in told["photos"]] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [photo["error"] and photo["error"]["code"] for photo in told["photos"]] == [
        *("storage_full", None, "storage_full"),
    ]
    assert told["status"] == "done"


@pytest.mark.usefixtures("lost_messages")
def test_each_photo_counts_towards_the_rate(alice: APIClient, monkeypatch) -> None:
    monkeypatch.setattr(PredictionThrottle, "rate", "5/min", raising=False)
    headers = {"Prefer": "respond-async"}
    urls = [URL.format(number) for number in range(3)]
    first = post_urls(alice, urls, headers=headers)
    assert first.status_code == 202
    assert first.headers["RateLimit"]
    assert error_of(post_urls(alice, urls, headers=headers)) == (429, "throttled")
    assert Prediction.objects.count() == 3


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({}, "photos"),
        ([], None),
        ({"photos": []}, "photos"),
        ({"photos": URL}, "photos"),
        ({"photos": [URL] * 13}, "photos"),
        ({"photos": [URL, 5]}, "photos.1"),
        ({"photos": [[URL]]}, "photos.0"),
        ({"photos": [URL, " "]}, "photos.1"),
        ({"photos": [URL], "proposed": "Amanita muscaria"}, "proposed"),
        ({"photos": [URL], "proposed": ["Amanita muscaria", "12"]}, "proposed.1"),
        ({"photos": [URL], "proposed": ["Амани́та"]}, "proposed.0"),
        ({"photos": [URL], "proposed": [None]}, "proposed.0"),
        ({"photos": [URL], "proposed": ["a\0b"]}, "proposed.0"),
        ({"photos": [URL], "proposed": ["\ud800 a"]}, "proposed.0"),
        ({"photos": [URL], "proposed": ["Amanita muscaria"] * 21}, "proposed"),
    ],
)
def test_a_malformed_request_is_refused_as_a_whole(alice: APIClient, body, attr) -> None:
    response = alice.post(OBSERVATIONS, json.dumps(body), content_type="application/json")
    assert response.status_code == 400
    attrs = [error["attr"] for error in response.json()["errors"]]
    assert attr is None or attrs == [attr]
    assert Observation.objects.count() == Prediction.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"proposed": "Amanita muscaria"}, "photo"),
        ({"photo": SimpleUploadedFile("a.jpg", drawn_photo(1)), "proposed": "5"}, "proposed.0"),
    ],
)
def test_a_malformed_form_is_refused_as_a_whole(alice: APIClient, body, attr: str) -> None:
    response = alice.post(OBSERVATIONS, body, format="multipart")
    assert response.status_code == 400
    assert [error["attr"] for error in response.json()["errors"]] == [attr]
    assert Observation.objects.count() == 0
    assert_nothing_left()


def test_thirteen_files_are_refused(alice: APIClient) -> None:
    response = post_photos(alice, [drawn_photo(1)] * 13)
    assert response.status_code == 400
    assert Observation.objects.count() == 0
    assert_nothing_left()


@pytest.mark.usefixtures("lost_messages")
def test_a_transaction_that_fails_leaves_no_bytes(alice: APIClient, monkeypatch) -> None:
    count = 0
    keep = services.predictions_create.__globals__["incoming_keep"]

    def keep_one(prediction_id: int, file: object) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise RuntimeError("as good as a death")
        keep(prediction_id, file)

    monkeypatch.setattr("predictions.services.incoming_keep", keep_one)
    assert post_photos(alice, [drawn_photo(1), drawn_photo(2)]).status_code == 500
    assert Observation.objects.count() == Prediction.objects.count() == 0
    assert list(incoming_path(0).parent.glob("*")) == []


@pytest.mark.usefixtures("lost_messages")
def test_the_same_key_creates_once(alice: APIClient) -> None:
    headers = {"Idempotency-Key": "one", "Prefer": "respond-async"}
    data = [drawn_photo(number) for number in (10, 11)]
    names = ["Aleuria aurantia"]
    first = post_photos(alice, data, names, headers=headers)
    second = post_photos(alice, data, names, headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    for other in (data[::-1], data[:1]):
        assert error_of(post_photos(alice, other, names, headers=headers)) == (
            *(422, "idempotency_key_reused"),
        )
    finished()
    third = post_photos(alice, data, names, headers=headers)
    assert (third.status_code, third.json()["id"]) == (200, first.json()["id"])
    assert Observation.objects.count() == IdempotencyKey.objects.count() == 1
    assert Prediction.objects.count() == 2


@pytest.mark.usefixtures("lost_messages")
def test_twins_at_the_same_time_wait_for_each_other(users: dict[str, User]) -> None:
    barrier = threading.Barrier(3)
    headers = {"Idempotency-Key": "one", "Prefer": "respond-async"}

    def send(client: APIClient) -> tuple[int, int]:
        barrier.wait()
        answer = post_urls(client, [URL.format(1), URL.format(2)], headers=headers)
        connection.close()
        return answer.status_code, answer.json()["id"]

    clients = [client_of(users["alice"]) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        answers = set(threads.map(send, clients))
    assert len(answers) == Observation.objects.count() == 1
    assert Prediction.objects.count() == ObservationPhoto.objects.count() == 2


def test_a_dozen_photos_are_answered_within_fair_shares(
    alice: APIClient, workers, photo_server: PhotoServer, settings
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    urls = [f"http://{photo_server.address}/drawn.jpg?{number}" for number in range(11)]
    urls.append(f"http://{photo_server.address}/missing.jpg")
    response = post_urls(alice, urls, headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    done = Observation.objects.filter(status="done")
    assert eventually(done.exists, 30), "the worker that answers the last photo tells them together"
    told = alice.get(response.headers["Location"]).json()
    assert [photo["status"] for photo in told["photos"]] == [*["done"] * 11, "failed"]


def test_nothing_is_told_without_a_model(alice: APIClient, production: ModelVersion) -> None:
    ModelVersion.objects.update(stage="Archived")
    response = post_photos(alice, [drawn_photo(1)], ["Aleuria aurantia"])
    assert error_of(response) == (503, "no_active_model")
    assert ProposedName.objects.get().verdict == ""
