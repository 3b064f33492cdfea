"""`GET /predictions/{id}/photo`: a picture that a worker makes, for owner and administrators."""

import io
from pathlib import Path

import pytest
from PIL import Image
from rest_framework.test import APIClient

from predictions.models import Photo, Prediction
from predictions.pictures import pictures_delete
from tests.support.api import PREDICTIONS, client_of, error_of
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload

pytestmark = pytest.mark.django_db(transaction=True)


def photo_with_metadata() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a secret description"
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0)}
    file = io.BytesIO()
    image = Image.open(io.BytesIO(drawn_photo(80, size=(1800, 1200))))
    image.save(file, "JPEG", exif=exif, comment=b"a secret comment")
    return file.getvalue()


@pytest.fixture
def prediction(production, users) -> Prediction:
    prediction = answered(upload(photo_with_metadata()))
    Prediction.objects.filter(pk=prediction.pk).update(user=users["alice"])
    return prediction


def photo_path(prediction: Prediction) -> str:
    return f"{PREDICTIONS}/{prediction.pk}/photo"


def test_owner_and_administrator_get_the_picture_without_metadata(
    alice: APIClient, bob: APIClient, workers, prediction: Prediction
) -> None:
    response = alice.get(photo_path(prediction))
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/jpeg")
    image = Image.open(io.BytesIO(response.content))
    assert (image.format, image.size) == ("JPEG", (1280, 853))
    assert not image.getexif()
    assert b"secret" not in response.content
    for accept in ("image/jpeg", "image/*", "*/*", "application/json"):
        again = bob.get(photo_path(prediction), headers={"Accept": accept})
        assert again.content == response.content


def test_nobody_else_learns_that_there_is_a_photo(prediction: Prediction, users) -> None:
    Prediction.objects.update(user=users["clementine"])
    response = client_of(users["alice"]).get(photo_path(prediction))
    assert error_of(response) == (404, "not_found")


def test_web_decodes_nothing_and_says_when_to_ask_again(
    alice: APIClient, prediction: Prediction
) -> None:
    headers = {"Prefer": "respond-async", "Accept": "image/jpeg"}
    pictures_delete(sha256=prediction.inference.photo.sha256)
    response = alice.get(photo_path(prediction), headers=headers)
    assert error_of(response) == (503, "picture_not_ready")
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Retry-After"] == "5"


def test_a_photo_that_is_not_stored_is_a_404(alice: APIClient, prediction: Prediction, users):
    Path(prediction.inference.photo.file.path).unlink()
    Photo.objects.update(file="")
    response = alice.get(photo_path(prediction))
    assert error_of(response) == (404, "not_found")
    assert "is stored" in response.json()["errors"][0]["detail"]
    pending = Prediction.objects.create(user=users["alice"], file="a", is_upload=True)
    assert error_of(alice.get(photo_path(pending))) == (404, "not_found")
