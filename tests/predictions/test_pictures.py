"""The admin's small copies of photos: made by the inference worker, kept within a bound."""

import io
import os
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.test import Client
from PIL import Image

from mlmodels.ml.preprocessing import decode_photo
from predictions.models import Photo
from predictions.photo_services import photo_store
from predictions.pictures import picture_make, picture_wait, pictures_delete, pictures_prune
from supervision.review.admin import photos as photo_pages
from tests.support.photos import drawn_photo

FOLDER = Path(configured.CHAMPIPY_HOME) / "cache" / "pictures"


def stored_photo(seed: int, **more) -> Photo:
    data = drawn_photo(seed, **more)
    return photo_store(data=data, image=decode_photo(data), origin="a.jpg")


def path_of(photo: Photo, kind: str = "thumbnail") -> Path:
    return FOLDER / kind / photo.sha256[:2] / f"{photo.sha256}.jpg"


@pytest.fixture
def bobs(users) -> Client:
    client = Client()
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture(autouse=True)
def no_pictures() -> None:
    for path in FOLDER.glob("*/*/*"):
        path.unlink()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "size"), [("thumbnail", (320, 213)), ("picture", (1280, 853))])
def test_a_worker_makes_a_picture_and_web_sends_the_file(bobs, workers, kind, size) -> None:
    photo = stored_photo(900, size=(1800, 1200), format="PNG")
    path = f"/admin/predictions/photo/{photo.pk}/{kind}"
    response = bobs.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/jpeg")
    assert response.content == path_of(photo, kind).read_bytes()
    image = Image.open(io.BytesIO(response.content))
    assert (image.format, image.size) == ("JPEG", size)
    path_of(photo, kind).write_bytes(b"what the cache holds")
    assert bobs.get(path).content == b"what the cache holds"


@pytest.mark.django_db
def test_web_decodes_nothing_when_no_worker_answers(bobs, monkeypatch) -> None:
    monkeypatch.setattr(photo_pages, "PICTURE_WAIT_S", 0.1)
    photo = stored_photo(901)
    response = bobs.get(f"/admin/predictions/photo/{photo.pk}/thumbnail")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
    assert not path_of(photo).exists()
    Path(photo.file.path).unlink()
    assert bobs.get(f"/admin/predictions/photo/{photo.pk}/thumbnail").status_code == 404


@pytest.mark.django_db
def test_the_least_recently_shown_pictures_go_first(settings) -> None:
    photos = [stored_photo(seed) for seed in range(910, 914)]
    for age, photo in enumerate(photos):
        picture_make(sha256=photo.sha256, kind="thumbnail")
        os.utime(path_of(photo), (1_000_000 - age,) * 2)
    assert picture_wait(photo=photos[3], kind="thumbnail", timeout_s=0) is not None, "shown now"
    sizes = [path_of(photo).stat().st_size for photo in photos]
    settings.CHAMPIPY_PICTURE_CACHE_MB = sum(sizes) / 1e6
    assert pictures_prune() == 0
    settings.CHAMPIPY_PICTURE_CACHE_MB = (sizes[0] + sizes[3]) / 1e6
    assert pictures_prune() == 2
    assert [path_of(photo).exists() for photo in photos] == [True, False, False, True]
    pictures_delete(sha256=photos[0].sha256)
    assert [path_of(photo).exists() for photo in photos] == [False, False, False, True]
