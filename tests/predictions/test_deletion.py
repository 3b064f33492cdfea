"""Deletion of a prediction: what goes with it, and what stays because something needs it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Species, TrainingRun
from predictions import deletion_services, scoring_services
from predictions.deletion_services import prediction_delete
from predictions.fetch_services import prediction_fetch
from predictions.models import Inference, Photo, PhotoSource, Prediction
from predictions.pictures import picture_make, picture_wait
from predictions.scoring_services import prediction_infer
from predictions.selectors import source_key
from predictions.services import prediction_create
from supervision.models import EvaluationSet
from tests.support.api import PREDICTIONS, assert_nothing_left
from tests.support.files import incoming_path
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, ask, unsent, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


@pytest.fixture(autouse=True)
def own_home(settings, tmp_path: Path) -> None:
    settings.CHAMPIPY_HOME = tmp_path
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.CHAMPIPY_KEEP_SCORE = 101  # no photo becomes a training photo by its score


def of(user: User, prediction: Prediction) -> Prediction:
    prediction.user = user
    prediction.save()
    return prediction


def delete(client: APIClient, prediction: Prediction) -> int:
    return client.delete(f"{PREDICTIONS}/{prediction.pk}").status_code


def test_nothing_is_left_of_a_prediction_whose_photo_nobody_needs(alice: APIClient, users) -> None:
    prediction = of(users["alice"], answered(upload(drawn_photo(70) + b"after the end")))
    photo = prediction.inference.photo
    picture_make(sha256=photo.sha256, kind="picture")
    assert delete(alice, prediction) == 204
    for model in (Prediction, Inference, PhotoSource):
        assert model.objects.count() == 0
    assert_nothing_left()
    assert not Path(photo.file.path).exists()
    assert picture_wait(photo=photo, kind="picture", timeout_s=0) is None
    assert delete(alice, prediction) == 404
    again = upload(drawn_photo(70))
    assert answered(again).reused is False, "it is scored as if it had never been here"


def test_a_photo_stays_for_another_prediction_and_goes_with_the_last(
    alice: APIClient, bob: APIClient, users
) -> None:
    first = of(users["alice"], answered(upload(drawn_photo(71))))
    second = of(users["clementine"], upload(drawn_photo(71)))
    path = Path(first.inference.photo.file.path)
    assert delete(alice, first) == 204
    assert path.exists()
    second.refresh_from_db()
    assert (second.status, second.inference_id) == ("done", first.inference_id)
    assert delete(bob, second) == 204, "an administrator may delete everybody's"
    assert not path.exists()


def test_a_photo_stays_for_a_prediction_that_waits(alice: APIClient, users) -> None:
    first = of(users["alice"], answered(upload(drawn_photo(72))))
    waits = Prediction.objects.create(file="b.jpg", is_upload=True, sha256=first.sha256)
    assert delete(alice, first) == 204
    assert answered(waits).status == "done"


@pytest.mark.parametrize("need", ["training", "review", "evaluation set", "run"])
def test_a_photo_stays_where_training_evaluation_or_review_needs_it(
    need: str, alice: APIClient, users
) -> None:
    prediction = of(users["alice"], answered(upload(drawn_photo(73))))
    photos = Photo.objects.filter(pk=prediction.inference.photo_id)
    entry = [prediction.sha256, "Aleuria aurantia"]
    if need == "training":
        photos.update(label=Species.objects.first(), split="training", split_at=timezone.now())
    elif need == "review":
        photos.update(reviewed_at=timezone.now())
    elif need == "evaluation set":
        EvaluationSet.objects.create(version=1, sha256="a", n=1, manifest=[entry], reason="test")
    else:
        dataset = {"training": [["0" * 64, "Aleuria aurantia"], entry], "validation": []}
        TrainingRun.objects.create(kind="train", parameters={}, dataset=dataset)
    assert delete(alice, prediction) == 204
    assert Prediction.objects.count() == 0
    assert Path(photos.get().file.path).exists()
    assert Inference.objects.filter(photo=photos.get()).exists()


def test_a_deleted_prediction_is_neither_fetched_nor_scored(alice: APIClient, users) -> None:
    url = of(users["alice"], ask("https://photos.example.com/a.jpg"))
    photo = of(users["alice"], upload(drawn_photo(74)))
    assert incoming_path(photo.pk).exists()
    assert (delete(alice, url), delete(alice, photo)) == (204, 204)
    prediction_fetch(prediction_id=url.pk, send=unsent)
    prediction_infer(prediction_id=photo.pk, send=unsent)
    assert_nothing_left()


def test_a_prediction_deleted_while_it_is_scored_leaves_no_photo(monkeypatch) -> None:
    decode = scoring_services.decode_photo
    prediction = upload(drawn_photo(75))

    def delete_and_decode(data: bytes):
        prediction_delete(prediction=prediction)
        return decode(data)

    monkeypatch.setattr(scoring_services, "decode_photo", delete_and_decode)
    prediction_infer(prediction_id=prediction.pk, send=unsent)
    assert Inference.objects.count() == 0
    assert_nothing_left()


def test_a_photo_that_is_asked_for_at_the_same_moment_stays(
    alice: APIClient, users, monkeypatch
) -> None:
    prediction = of(users["alice"], answered(upload(drawn_photo(76))))
    inference = prediction.inference

    def ask() -> None:
        Prediction.objects.create(file="b", is_upload=True, status="done", inference=inference)
        connection.close()

    def ask_meanwhile(photo: Photo) -> bool:
        with ThreadPoolExecutor() as another_process:
            another_process.submit(ask).result()
        return False

    monkeypatch.setattr(deletion_services, "_is_kept", ask_meanwhile)
    assert delete(alice, prediction) == 204
    assert Prediction.objects.get().inference == inference
    assert Path(inference.photo.file.path).exists()


def test_a_url_whose_photo_was_deleted_is_fetched_again(alice: APIClient, users) -> None:
    prediction = of(users["alice"], answered(upload(drawn_photo(77))))
    url = "https://photos.example.com/b.jpg"
    PhotoSource.objects.create(
        key=source_key(url),
        photo=prediction.inference.photo,
        is_permanent=True,
        fetched_at=timezone.now(),
    )
    assert ask(url).status == "done"
    Prediction.objects.exclude(pk=prediction.pk).delete()
    assert delete(alice, prediction) == 204
    assert ask(url).status == "pending"


def test_a_request_that_waits_for_a_deleted_prediction_gets_a_404(
    alice: APIClient, users, monkeypatch
) -> None:
    def create_and_delete(**arguments):
        prediction = prediction_create(**arguments)
        Prediction.objects.filter(pk=prediction.pk).delete()
        return prediction

    monkeypatch.setattr("predictions.api.views.prediction_create", create_and_delete)
    response = alice.post(PREDICTIONS, {"file": "https://photos.example.com/c.jpg"}, format="json")
    assert response.status_code == 404
    assert "was deleted" in response.json()["errors"][0]["detail"]
