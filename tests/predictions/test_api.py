"""POST and GET /predictions as a user sends them, with real workers in their own processes."""

import threading

import pytest
from rest_framework.test import APIClient

from predictions.answer_services import prediction_wait
from predictions.models import Inference, Photo, Prediction
from tests.support.api import PREDICTIONS as PATH
from tests.support.api import assert_nothing_left, client_of, error_of, post_photo, post_url
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("workers", "production"),
]


@pytest.fixture(autouse=True)
def open_photo_server(settings, photo_server: PhotoServer) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})


def test_an_uploaded_photo_is_scored(alice: APIClient, production) -> None:
    response = post_photo(alice, drawn_photo(20), nb_preds="3")
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "done"
    assert body["file"] == "a photo.jpg"
    assert body["model"] == {"name": production.name, "version": production.version}
    assert body["reused"] is False
    assert body["duration_ms"] >= 0
    assert body["sha256"] == Photo.objects.get().sha256
    scores = [each["score"] for each in body["predictions"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 100 and round(score, 2) == score for score in scores)
    assert {each["species"] for each in body["predictions"]} <= set(production.labels)
    assert alice.get(f"{PATH}/{body['id']}").json() == body
    assert alice.get(PATH).json()["results"] == [body]


def test_a_photo_at_a_url_is_scored(alice: APIClient, photo_server: PhotoServer) -> None:
    url = f"http://{photo_server.address}/drawn.jpg"
    first = post_url(alice, url)
    assert first.status_code == 200
    assert first.json()["file"] == url
    assert len(first.json()["predictions"]) == 1
    again = post_photo(alice, drawn_photo(1), nb_preds=10).json()
    assert again["reused"] is True
    assert again["predictions"][:1] == first.json()["predictions"]
    assert len(again["predictions"]) == 10
    assert Inference.objects.count() == 1


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<html>a page</html>", b"%PDF-1.7"], ids=repr)
def test_an_uploaded_file_that_is_not_an_image_is_refused(alice: APIClient, data: bytes) -> None:
    status, code = error_of(post_photo(alice, data))
    assert status == 422
    assert code in ("not_an_image", "image_truncated")
    assert Prediction.objects.get().error_code == code
    assert_nothing_left()


def test_a_url_that_is_not_an_image_is_refused(alice: APIClient, photo_server: PhotoServer) -> None:
    response = post_url(alice, f"http://{photo_server.address}/page.html")
    assert error_of(response) == (422, "not_an_image")
    assert_nothing_left()


def test_a_missing_image_is_a_stored_failure(alice: APIClient, photo_server: PhotoServer) -> None:
    response = post_url(alice, f"http://{photo_server.address}/missing.jpg")
    assert error_of(response) == (422, "image_not_found")
    stored = Prediction.objects.get()
    assert (stored.status, stored.error_code) == ("failed", "image_not_found")
    failed = alice.get(f"{PATH}/{stored.pk}").json()
    assert failed["error"]["code"] == "image_not_found"
    assert failed["predictions"] is None
    assert_nothing_left()


@pytest.mark.parametrize(
    "nb_preds", ["abc", 1.5, 1.0, 0, -1, 11, True, None, "", "1.5", "٣", [1], {}, 10**30], ids=repr
)
def test_an_invalid_nb_preds_is_a_400(alice: APIClient, photo_server, nb_preds) -> None:
    response = post_url(alice, f"http://{photo_server.address}/drawn.jpg", nb_preds=nb_preds)
    assert response.status_code == 400
    assert response.json()["type"] == "validation_error"
    assert response.json()["errors"][0]["attr"] == "nb_preds"
    assert Prediction.objects.count() == 0


@pytest.mark.parametrize(
    "body", [{}, {"file": ""}, {"file": 5}, {"file": None}, {"file": ["x"]}, []]
)
def test_a_body_without_a_file_is_a_400(alice: APIClient, body) -> None:
    response = alice.post(PATH, body, format="json")
    assert response.status_code == 400
    assert Prediction.objects.count() == 0


def test_a_body_that_is_not_json_is_a_400(alice: APIClient) -> None:
    response = alice.post(PATH, "{no json", content_type="application/json")
    assert error_of(response) == (400, "parse_error")


def test_a_photo_over_the_size_limit_is_refused(alice: APIClient) -> None:
    response = post_photo(alice, b"\xff\xd8\xff" + b"x" * 10_000_000)
    assert error_of(response) == (413, "image_too_large")
    assert_nothing_left()


def test_a_private_address_is_refused(alice: APIClient) -> None:
    response = post_url(alice, "http://169.254.169.254/latest/meta-data")
    assert error_of(response) == (422, "url_forbidden")
    assert "169.254" not in response.content.decode()


def test_respond_async_gives_a_202_and_a_later_answer(alice: APIClient) -> None:
    response = post_photo(alice, drawn_photo(21), headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    assert response.json()["status"] == "pending"
    assert response.headers["Retry-After"] == "1"
    prediction_wait(prediction=Prediction.objects.get(), timeout_s=20)
    assert alice.get(response.headers["Location"]).json()["status"] == "done"


def test_a_slow_host_gives_a_202_after_the_wait(alice, photo_server) -> None:
    response = alice.post(
        PATH,
        {"file": f"http://{photo_server.address}/hang"},
        format="json",
        headers={"Prefer": "wait=1"},
    )
    assert response.status_code == 202
    assert response.json()["predictions"] is None
    prediction = prediction_wait(prediction=Prediction.objects.get(), timeout_s=20)
    assert prediction.error_code == "image_timeout"


def test_without_a_model_in_production_the_answer_is_a_503(alice: APIClient, production) -> None:
    type(production).objects.update(stage="Archived")
    assert error_of(post_photo(alice, drawn_photo(22))) == (503, "no_active_model")


def test_simultaneous_identical_photos_are_scored_once(users) -> None:
    data, answers = drawn_photo(23), []

    def ask() -> None:
        from django.db import connection

        answers.append(post_photo(client_of(users["alice"]), data).json())
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["status"] for answer in answers] == ["done"] * 6
    assert sorted(answer["reused"] for answer in answers) == [False] + [True] * 5
    assert Inference.objects.count() == 1
    assert len({str(answer["predictions"]) for answer in answers}) == 1


@pytest.mark.parametrize("url", ["http://a.org/\0", "http://\ud800/", "x" * 5000], ids=ascii)
def test_a_url_that_the_database_cannot_store_is_refused(alice: APIClient, url: str) -> None:
    assert error_of(post_url(alice, url)) == (422, "url_forbidden")
