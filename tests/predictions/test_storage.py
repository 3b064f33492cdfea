"""A full disk and daily quotas: what is refused leaves nothing, and everything else goes on."""

import ctypes
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
import redis
from celery import current_app
from django.conf import settings as django_settings
from rest_framework.test import APIClient

from accounts.models import User
from common.valkey import valkey_client
from mlmodels.models import ModelVersion
from mlmodels.scoring import load_engine
from predictions import services
from predictions.fetch_services import prediction_fetch
from predictions.models import Photo, Prediction
from tests.support.api import PREDICTIONS, client_of, error_of, post_photo, post_url
from tests.support.files import incoming_path
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, unsent, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]

NO_WAIT = {"Prefer": "respond-async"}


@pytest.fixture(scope="module", autouse=True)
def no_worker_interferes() -> Iterator[None]:
    """Keep the workers of other tests away: these tests take each step themselves."""
    control, queues = current_app.control, ("fetch", "inference")
    for queue in queues:
        control.cancel_consumer(queue, reply=True, timeout=2)
    for path in incoming_files():
        path.unlink(missing_ok=True)
    yield
    valkey_client().delete(*queues)
    for queue in queues:
        control.add_consumer(queue, destination=[f"{queue}@test"], reply=True, timeout=2)


@pytest.fixture(autouse=True)
def open_photo_server(settings, photo_server: PhotoServer) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})


@pytest.fixture
def no_reserve(settings) -> None:
    """Demand more free space than there is."""
    settings.CHAMPIPY_DISK_RESERVE_MB = shutil.disk_usage("/").total * 1000


def incoming_files() -> list:
    return list(incoming_path(0).parent.glob("*"))


def quota_keys() -> dict[str, int]:
    client = redis.Redis.from_url(django_settings.REDIS_URL, decode_responses=True)
    return {key: int(client.get(key)) for key in client.scan_iter("champipy:quota_*")}


def test_below_the_reserve_new_photos_are_refused_and_known_ones_answered(
    alice: APIClient, settings, photo_server: PhotoServer, no_reserve
) -> None:
    with_space = settings.CHAMPIPY_DISK_RESERVE_MB
    settings.CHAMPIPY_DISK_RESERVE_MB = 0
    answered(upload(drawn_photo(80)))
    settings.CHAMPIPY_DISK_RESERVE_MB = with_space
    rows = Prediction.objects.count()
    assert error_of(post_photo(alice, drawn_photo(81))) == (507, "storage_full")
    url = f"http://{photo_server.address}/drawn.jpg"
    assert error_of(post_url(alice, url)) == (507, "storage_full")
    assert Prediction.objects.count() == rows
    assert incoming_files() == []
    assert quota_keys() == {}
    reused = post_photo(alice, drawn_photo(80))
    assert (reused.status_code, reused.json()["reused"]) == (200, True)
    assert alice.get(f"{PREDICTIONS}/{reused.json()['id']}").status_code == 200
    # A refusal that needs no space keeps its code.
    assert error_of(post_url(alice, "http://10.0.0.1/a.jpg")) == (422, "url_forbidden")


def test_a_fetch_below_the_reserve_fails_with_its_code(
    alice: APIClient, settings, photo_server: PhotoServer
) -> None:
    post_url_without_waiting(alice, f"http://{photo_server.address}/drawn.jpg")
    prediction = Prediction.objects.get()
    settings.CHAMPIPY_DISK_RESERVE_MB = shutil.disk_usage("/").total * 1000
    prediction_fetch(prediction_id=prediction.pk, send=unsent)
    prediction.refresh_from_db()
    assert (prediction.status, prediction.error_code) == ("failed", "storage_full")
    assert incoming_files() == []
    assert alice.get(f"{PREDICTIONS}/{prediction.pk}").json()["error"]["code"] == "storage_full"


def post_url_without_waiting(client: APIClient, url: str):
    return client.post(PREDICTIONS, {"file": url}, format="json", headers=NO_WAIT)


@pytest.fixture
def small_disk(settings, tmp_path):
    """Mount a disk of 3 MB as the home's folder; skip the test where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if not hasattr(ctypes.CDLL(None), "mount") or subprocess.run(command, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    settings.CHAMPIPY_HOME = folder
    settings.MEDIA_ROOT = folder / "media"
    settings.CHAMPIPY_DISK_RESERVE_MB = 0
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, leave: int) -> None:
    free = shutil.disk_usage(folder).free
    (folder / "filler").write_bytes(bytes(max(0, free - leave)))


def test_a_full_disk_refuses_an_upload_and_leaves_nothing(alice: APIClient, small_disk) -> None:
    fill(small_disk, leave=16_384)
    response = post_photo(alice, drawn_photo(82, size=(1600, 1200), format="PNG"))
    assert error_of(response) == (507, "storage_full")
    assert Prediction.objects.count() == 0
    assert incoming_files() == []
    (small_disk / "filler").unlink()
    assert post_photo(alice, drawn_photo(82), headers=NO_WAIT).status_code == 202


def test_a_disk_that_fills_during_an_upload_refuses_it(alice: APIClient, small_disk) -> None:
    incoming_path(0).parent.mkdir()
    fill(small_disk, leave=1_000_000)
    response = post_photo(alice, drawn_photo(88) + bytes(2_700_000))
    assert error_of(response) == (507, "storage_full")
    assert Prediction.objects.count() == 0
    assert incoming_files() == []


def test_a_large_upload_is_written_once(alice: APIClient, monkeypatch) -> None:
    data = drawn_photo(89) + bytes(3_000_000)
    inodes = []

    def note_inode(upload) -> None:
        [file] = incoming_files()
        inodes.append(file.stat().st_ino)

    monkeypatch.setattr(services, "_upload_sha256", _noting(services._upload_sha256, note_inode))
    response = post_photo(alice, data, headers=NO_WAIT)
    assert response.status_code == 202
    kept = incoming_path(response.json()["id"])
    assert incoming_files() == [kept]
    assert [kept.stat().st_ino] == inodes
    assert kept.read_bytes() == data
    assert answered(Prediction.objects.get()).status == "done"
    assert incoming_files() == []
    # One that is answered from a stored inference leaves nothing either.
    again = post_photo(alice, data)
    assert (again.status_code, again.json()["reused"]) == (200, True)
    assert error_of(post_photo(alice, data + bytes(10_000_000))) == (413, "image_too_large")
    assert incoming_files() == []


def _noting(function, note):
    def noting(upload):
        note(upload)
        return function(upload)

    return noting


@pytest.fixture
def loaded_engine(production: ModelVersion) -> None:
    load_engine(production)


def test_a_disk_that_fills_before_scoring_fails_the_prediction(loaded_engine, small_disk) -> None:
    data = drawn_photo(83, size=(1600, 1200), format="PNG")
    prediction = upload(data + b"what is not stored")
    fill(small_disk, leave=16_384)
    prediction = answered(prediction)
    assert (prediction.status, prediction.error_code) == ("failed", "storage_full")
    assert incoming_files() == []
    assert Photo.objects.count() == 0
    assert [path for path in (small_disk / "media").rglob("*") if path.is_file()] == []


def test_a_photo_that_was_accepted_needs_no_more_space(loaded_engine, small_disk) -> None:
    data = drawn_photo(83, size=(1600, 1200), format="PNG")
    prediction = upload(data)
    fill(small_disk, leave=16_384)
    assert answered(prediction).status == "done"
    assert incoming_files() == []
    assert (small_disk / "media" / Photo.objects.get().file.name).read_bytes() == data


def test_a_disk_that_fills_while_fetching_fails_the_prediction(
    alice: APIClient, small_disk, photo_server: PhotoServer
) -> None:
    url = f"http://{photo_server.address}/drawn.jpg"
    assert post_url_without_waiting(alice, url).status_code == 202
    fill(small_disk, leave=0)
    prediction_fetch(prediction_id=Prediction.objects.get().pk, send=unsent)
    assert Prediction.objects.get().error_code == "storage_full"
    assert incoming_files() == []


def test_a_user_has_so_many_predictions_a_day(
    alice: APIClient, users: dict[str, User], settings
) -> None:
    settings.CHAMPIPY_DAILY_PREDICTIONS = 2
    answered(upload(drawn_photo(84)))
    for _ in range(2):
        assert post_photo(alice, drawn_photo(84)).status_code == 200
    rows = Prediction.objects.count()
    before = int(time.time()) % 86400
    response = post_photo(alice, drawn_photo(84))
    assert error_of(response) == (429, "quota_exceeded")
    assert "2 predictions" in response.json()["errors"][0]["detail"]
    if int(time.time()) % 86400 >= before:  # not just after midnight
        assert 0 < int(response.headers["Retry-After"]) <= 86400 - before
    assert error_of(post_url(alice, "http://10.0.0.1/")) == (429, "quota_exceeded")
    assert Prediction.objects.count() == rows
    assert list(quota_keys().values()) == [2]
    # Others have quotas of their own; an administrator's is ten times as large.
    bob = client_of(users["bob"])
    answers = [post_photo(bob, drawn_photo(84)).status_code for _ in range(21)]
    assert answers == [200] * 20 + [429]
    assert alice.get(PREDICTIONS).status_code == 200


def test_a_user_may_send_so_many_bytes_of_new_photos_a_day(
    alice: APIClient, settings, photo_server: PhotoServer
) -> None:
    settings.CHAMPIPY_DAILY_UPLOAD_MB = 1
    data = drawn_photo(85) + bytes(600_000)
    assert post_photo(alice, data, headers=NO_WAIT).status_code == 202
    answered(Prediction.objects.get())
    other = drawn_photo(86) + bytes(600_000)
    response = post_photo(alice, other)
    assert error_of(response) == (429, "quota_exceeded")
    assert "1 MB" in response.json()["errors"][0]["detail"]
    assert incoming_files() == []
    assert Prediction.objects.count() == 1
    assert sorted(quota_keys().values()) == [1, len(data)]
    assert post_photo(alice, data).json()["reused"] is True
    # A photo that is fetched counts when its size is known.
    photo_server.files["heavy.jpg"] = other
    url = f"http://{photo_server.address}/heavy.jpg"
    assert post_url_without_waiting(alice, url).status_code == 202
    pending = Prediction.objects.get(status="pending")
    prediction_fetch(prediction_id=pending.pk, send=unsent)
    pending.refresh_from_db()
    assert pending.error_code == "quota_exceeded"
    assert incoming_files() == []


def test_without_valkey_no_quota_is_counted(alice: APIClient, settings, monkeypatch) -> None:
    from common import valkey

    answered(upload(drawn_photo(87)))
    settings.CHAMPIPY_DAILY_PREDICTIONS = 0
    assert post_photo(alice, drawn_photo(87)).status_code == 429
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    valkey.valkey_client.cache_clear()
    try:
        assert post_photo(alice, drawn_photo(87)).status_code == 200
    finally:
        valkey.valkey_client.cache_clear()
