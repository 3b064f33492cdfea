"""`Idempotency-Key`: the same request creates once, whoever dies and however often it comes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.api.idempotency import body_sha256
from accounts.models import IdempotencyKey, User
from mlmodels.models import TrainingRun
from predictions import services
from predictions.errors import NotAccepted
from predictions.models import Feedback, Prediction
from supervision.retention.services import keys_prune
from tests.support.api import PREDICTIONS, client_of, error_of, post_photo
from tests.support.photos import drawn_photo
from tests.support.predictions import answered
from tests.support.rows import photo_rows

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("production", "lost_messages"),
]

URL = "https://photos.example.com/a.jpg"
KEY = {"Idempotency-Key": "one", "Prefer": "respond-async"}


def post(client: APIClient, body: object = None, path: str = PREDICTIONS, key: str = "one"):
    headers = {**KEY, "Idempotency-Key": key}
    return client.post(path, body or {"file": URL}, format="json", headers=headers)


def test_the_same_request_gets_the_answer_as_things_stand_then(alice: APIClient) -> None:
    data = drawn_photo(95)
    first = post_photo(alice, data, KEY)
    assert first.status_code == 202
    prediction = answered(Prediction.objects.get())
    second = post_photo(alice, data, KEY)
    assert second.status_code == 200
    assert second.json()["id"] == first.json()["id"] == prediction.pk
    assert second.json()["status"] == "done"
    assert second.json()["reused"] is False, "it is the first prediction, not a new one"
    assert Prediction.objects.count() == IdempotencyKey.objects.count() == 1


def test_a_failed_prediction_is_not_tried_again(alice: APIClient) -> None:
    answers = [post(alice, {"file": "ftp://a"}) for _ in range(2)]
    assert [error_of(answer) for answer in answers] == [(422, "url_forbidden")] * 2
    assert Prediction.objects.count() == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"file": URL}, {"file": URL + "?b"}),
        ({"file": URL}, {"file": URL, "nb_preds": 2}),
        ({"file": URL, "more": [1]}, {"file": URL, "more": [2]}),
    ],
)
def test_another_body_is_refused_and_creates_nothing(alice: APIClient, first, second) -> None:
    assert post(alice, first).status_code == 202
    assert error_of(post(alice, second)) == (422, "idempotency_key_reused")
    assert Prediction.objects.count() == 1


def test_files_are_compared_by_their_bytes(alice: APIClient) -> None:
    assert post_photo(alice, drawn_photo(96), KEY).status_code == 202
    assert error_of(post_photo(alice, drawn_photo(97), KEY)) == (422, "idempotency_key_reused")
    renamed = SimpleUploadedFile("another name.png", drawn_photo(96), content_type="image/png")
    body = {"file": renamed}
    again = alice.post(PREDICTIONS, body, format="multipart", headers=KEY)
    assert again.status_code == 202
    assert Prediction.objects.count() == 1


def test_the_order_of_fields_does_not_matter() -> None:
    assert body_sha256({"a": 1, "b": [2]}) == body_sha256({"b": [2], "a": 1})
    assert body_sha256({"a": [1, 2]}) != body_sha256({"a": [2, 1]})


def test_keys_are_per_user_and_path(alice: APIClient, bob: APIClient) -> None:
    assert {post(client).status_code for client in (alice, bob)} == {202}
    batch = post(alice, {"files": [URL, URL]}, f"{PREDICTIONS}/batch")
    assert len(batch.json()["results"]) == 2
    assert Prediction.objects.count() == 4
    again = post(alice, {"files": [URL, URL]}, f"{PREDICTIONS}/batch")
    assert again.json() == batch.json()
    assert Prediction.objects.count() == 4


def test_a_run_is_queued_once(bob: APIClient) -> None:
    photo_rows()
    runs = [post(bob, {"epochs": 3}, "/api/v1/train") for _ in range(2)]
    assert [run.status_code for run in runs] == [202, 202]
    assert runs[0].json()["id"] == runs[1].json()["id"]
    assert runs[0].headers["Location"] == runs[1].headers["Location"]
    assert error_of(post(bob, {"epochs": 4}, "/api/v1/train")) == (422, "idempotency_key_reused")
    assert TrainingRun.objects.count() == 1


def test_repeated_feedback_does_not_wait_for_review_again(alice: APIClient) -> None:
    post_photo(alice, drawn_photo(95), KEY)
    prediction = answered(Prediction.objects.get())
    path = f"{PREDICTIONS}/{prediction.pk}/feedback"
    assert post(alice, {"species": None}, path).status_code == 200
    Feedback.objects.update(reviewed_at=timezone.now())
    assert post(alice, {"species": None}, path).json()["is_reviewed"] is True
    again = post(alice, {"species": "Aleuria aurantia"}, path)
    assert error_of(again) == (422, "idempotency_key_reused")


def test_a_refused_request_may_be_sent_again_with_its_key(alice: APIClient, settings) -> None:
    settings.CHAMPIPY_DAILY_PREDICTIONS = 0
    assert error_of(post(alice)) == (429, "quota_exceeded")
    assert post(alice, {"file": ""}).status_code == 400
    assert IdempotencyKey.objects.count() == 0
    settings.CHAMPIPY_DAILY_PREDICTIONS = 1
    assert post(alice).status_code == 202
    assert post(alice).status_code == 202, "a repetition costs no quota"
    assert Prediction.objects.count() == 1


def test_a_process_that_dies_in_between_leaves_neither_key_nor_prediction(
    alice: APIClient, monkeypatch
) -> None:
    created = services.predictions_create

    def create_and_die(**arguments):
        created(**arguments)
        raise NotAccepted("storage_full")  # as good as a death: the transaction is rolled back

    body, path = {"files": [URL, URL]}, f"{PREDICTIONS}/batch"
    monkeypatch.setattr("predictions.api.batch.predictions_create", create_and_die)
    assert post(alice, body, path).status_code == 507
    assert Prediction.objects.count() == IdempotencyKey.objects.count() == 0
    monkeypatch.undo()
    assert post(alice, body, path).status_code == 202
    assert Prediction.objects.count() == 2


def test_twins_at_the_same_time_wait_for_each_other(users: dict[str, User], monkeypatch) -> None:
    barrier = threading.Barrier(4)
    created = services.prediction_create
    calls = []

    def slow(**arguments):
        calls.append(1)
        prediction = created(**arguments)
        connection.cursor().execute("SELECT pg_sleep(0.3)")
        return prediction

    monkeypatch.setattr("predictions.api.views.prediction_create", slow)

    def send(client: APIClient) -> tuple[int, int]:
        barrier.wait()
        answer = post(client)
        connection.close()
        return answer.status_code, answer.json()["id"]

    clients = [client_of(users["alice"]) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = set(threads.map(send, clients))
    assert len(answers) == len(calls) == Prediction.objects.count() == 1
    assert answers.pop()[0] == 202


def test_a_key_counts_for_a_day_and_is_pruned_after_it(alice: APIClient, users) -> None:
    first = post(alice)
    almost = timezone.now() + timedelta(hours=23, minutes=59)
    with time_machine.travel(almost):
        assert post(client_of(users["alice"])).json()["id"] == first.json()["id"]
        assert keys_prune(now=almost).count == 0
    later = timezone.now() + timedelta(hours=24, minutes=1)
    with time_machine.travel(later):
        assert post(client_of(users["alice"])).json()["id"] != first.json()["id"]
        assert IdempotencyKey.objects.count() == 1
    assert keys_prune(now=later + timedelta(days=1, minutes=1)).count == 1
    assert IdempotencyKey.objects.count() == 0


def test_what_was_deleted_since_is_a_404(alice: APIClient) -> None:
    Prediction.objects.filter(pk=post(alice).json()["id"]).delete()
    again = post(alice)
    assert error_of(again) == (404, "not_found")
    assert "has been deleted" in again.json()["errors"][0]["detail"]


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
def test_a_malformed_key_is_refused(alice: APIClient, key: str) -> None:
    response = post(alice, key=key)
    assert error_of(response) == (400, "parse_error")
    assert "Idempotency-Key" in response.json()["errors"][0]["detail"]
    assert Prediction.objects.count() == 0


def test_a_body_that_is_nested_too_deeply_is_refused(alice: APIClient) -> None:
    body = f'{{"file": "{URL}", "x": {"[" * 900}{"]" * 900}}}'
    response = alice.post(PREDICTIONS, body, content_type="application/json", headers=KEY)
    assert response.status_code in (202, 400)


def test_a_login_takes_no_key(nobody: APIClient, users) -> None:
    body = {"username": "alice", "password": "wonderland"}
    tokens = {post(nobody, body, "/api/v1/token").json()["token"] for _ in range(2)}
    assert len(tokens) == 2
    assert IdempotencyKey.objects.count() == 0
