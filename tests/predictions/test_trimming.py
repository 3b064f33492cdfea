"""Bytes after a picture's end are not stored; the SHA-256 of what was sent still identifies it."""

import hashlib

import pytest
from django.core.files.storage import default_storage

from predictions.fetch_services import prediction_fetch
from predictions.models import Inference, Photo, Prediction
from predictions.scoring_services import prediction_infer
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, ask, unsent, upload
from tests.support.versions import another_version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_only_the_picture_is_stored(format: str) -> None:
    data = drawn_photo(90, format=format)
    sent = data + bytes(2_000_000)
    prediction = answered(upload(sent))
    assert prediction.status == "done"
    assert prediction.sha256 == digest(sent)
    photo = Photo.objects.get()
    assert (photo.sha256, photo.bytes) == (digest(data), len(data))
    assert default_storage.open(photo.file.name).read() == data
    # The same bytes again are answered at once, and so is the picture alone.
    for again in (upload(sent), upload(data)):
        assert (again.status, again.reused, again.inference) == ("done", True, prediction.inference)
    # Other bytes after the same picture are another request for the same photo.
    other = answered(upload(data + bytes(3)))
    assert (other.reused, other.inference) == (True, prediction.inference)
    assert other.sha256 == digest(data + bytes(3))
    assert Inference.objects.count() == Photo.objects.count() == 1


def test_a_url_keeps_the_sha256_of_what_it_returned(settings, photo_server: PhotoServer) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    sent = drawn_photo(91) + bytes(5000)
    photo_server.files["padded.jpg"] = sent
    url = f"http://{photo_server.address}/padded.jpg"
    first = ask(url)
    prediction_fetch(prediction_id=first.pk, send=unsent)
    answered(first)
    assert first.sha256 == digest(sent)
    again = ask(url)
    assert (again.status, again.reused, again.sha256) == ("done", True, digest(sent))
    # Another version scores the stored photo, without fetching it again.
    from mlmodels.services import version_promote

    requests = photo_server.requests["/padded.jpg"]
    version_promote(version=another_version(temperature=3.0), by=None, reason="test")
    third = answered(ask(url))
    assert (third.status, third.reused, third.sha256) == ("done", False, digest(sent))
    assert photo_server.requests["/padded.jpg"] == requests
    assert Photo.objects.count() == 1


def test_bytes_of_another_run_are_not_stored_under_the_rows_sha256(
    settings, photo_server: PhotoServer
) -> None:
    """Two runs of a fetch got different bytes: the file is of one, the row of the other."""
    from predictions.incoming import incoming_write

    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    photo_server.files["changing.jpg"] = drawn_photo(92)
    prediction = ask(f"http://{photo_server.address}/changing.jpg")
    prediction_fetch(prediction_id=prediction.pk, send=unsent)
    incoming_write(prediction.pk, drawn_photo(93))
    sent: list[Prediction] = []
    prediction_infer(prediction_id=prediction.pk, send=sent.append)
    prediction.refresh_from_db()
    assert (prediction.status, prediction.sha256) == ("pending", "")
    assert prediction.next_send_at is not None
    assert [each.pk for each in sent] == [prediction.pk]
    assert Photo.objects.count() == 0
    prediction_fetch(prediction_id=prediction.pk, send=unsent)
    assert answered(prediction).status == "done"
    assert Photo.objects.get().sha256 == prediction.sha256 == digest(drawn_photo(92))


def test_a_damaged_upload_fails_and_is_not_stored() -> None:
    from predictions.incoming import incoming_write

    prediction = upload(drawn_photo(94))
    incoming_write(prediction.pk, drawn_photo(95))
    assert answered(prediction).error_code == "prediction_failed"
    assert Photo.objects.count() == 0


def test_a_damaged_file_of_the_storage_is_not_scored(settings, photo_server: PhotoServer) -> None:
    from pathlib import Path

    from mlmodels.services import version_promote

    answered(upload(drawn_photo(96)))
    Path(Photo.objects.get().file.path).write_bytes(drawn_photo(97))
    version_promote(version=another_version(temperature=4.0), by=None, reason="test")
    prediction = Prediction.objects.create(
        file="photo.jpg", is_upload=True, sha256=Photo.objects.get().sha256
    )
    assert answered(prediction).error_code == "prediction_failed"
    assert Inference.objects.count() == 1
