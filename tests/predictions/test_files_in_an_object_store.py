"""Predictions whose photos, and versions whose files, are in an object store."""

import hashlib
import shutil
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from common.storage import StorageUnavailable, file_store
from common.storage.objects import ObjectStorage
from common.storage.url import storages_of
from mlmodels import scoring
from mlmodels.ml.artifact import ArtifactError
from mlmodels.models import ModelVersion
from mlmodels.selectors import version_artifact
from mlmodels.services import PRETRAINED, version_promote, version_register
from predictions import recovery_services
from predictions.deletion_services import prediction_delete
from predictions.embedding_services import photo_embed
from predictions.fetch_services import prediction_fetch
from predictions.models import Inference, Photo, PhotoEmbedding, Prediction, Shadow
from predictions.photo_services import photo_file_delete, photo_read
from predictions.pictures import picture_make, picture_wait
from predictions.quotas import usage_of
from predictions.recovery_services import incoming_sweep
from predictions.scoring_services import prediction_infer, waiting_score
from predictions.shadow_services import shadows_score
from predictions.stored_photos import photo_bytes
from supervision.retention import selectors as retention_selectors
from supervision.retention.services import orphans_prune, versions_prune
from tests.support.api import error_of, post_photo
from tests.support.object_stores import Proxy, StoredFiles
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, ask, unsent, upload
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db(transaction=True)

NO_WAIT = {"Prefer": "respond-async"}


@pytest.fixture(autouse=True)
def no_engine(monkeypatch) -> None:
    """Load the engine anew in each test, as a new process does."""
    monkeypatch.setattr(scoring, "_loaded", None)


@pytest.fixture
def version(stored_files: StoredFiles) -> ModelVersion:
    """Put the shipped version into production; its files are in the store."""
    version, _ = version_register(folder=PRETRAINED)
    version_promote(version=version, by=None, reason="test")
    version.refresh_from_db()
    return version


def name_of(data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    return f"media/photos/{sha256[:2]}/{sha256}"


def others(stored_files: StoredFiles) -> list[str]:
    """Return the keys of all but the files of versions."""
    return [key for key in stored_files.remote() if not key.startswith("models/")]


def test_photos_and_versions_are_in_the_store_and_the_home_has_only_copies(
    stored_files: StoredFiles, version: ModelVersion, photo_server: PhotoServer, settings
) -> None:
    data = drawn_photo(1000)
    pending = upload(data)
    assert others(stored_files) == [f"incoming/{pending.pk}"]
    assert answered(pending).status == "done"
    assert others(stored_files) == [name_of(data)]
    assert stored_files.store.read(f"{stored_files.prefix}/{name_of(data)}") == data
    assert [key for key in stored_files.remote() if key.startswith("models/")] == [
        f"models/VGG16/1/{name}"
        for name in ("README.md", "card.json", "engine.tflite", "weights.safetensors")
    ]
    assert [path for path in stored_files.local() if not path.startswith("cache/stored/")] == []

    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    fetched = ask(f"http://{photo_server.address}/drawn.jpg")
    prediction_fetch(prediction_id=fetched.pk, send=unsent)
    fetched.refresh_from_db()
    assert others(stored_files) == [f"incoming/{fetched.pk}", name_of(data)]
    assert answered(fetched).status == "done"
    assert len(others(stored_files)) == 2

    photo = Photo.objects.get(sha256=pending.sha256)
    assert photo_read(sha256=photo.sha256) == data
    assert photo_bytes(str(photo.file), photo.sha256) == data
    picture_make(sha256=photo.sha256, kind="thumbnail")
    picture_make(sha256=photo.sha256, kind="thumbnail")
    thumbnail = picture_wait(photo=photo, kind="thumbnail", timeout_s=0)
    assert thumbnail is not None
    assert thumbnail.startswith(b"\xff\xd8")
    assert len(others(stored_files)) == 3
    prediction_delete(prediction=Prediction.objects.get(pk=pending.pk))
    assert others(stored_files) == [name_of(drawn_photo(1))]
    assert [path for path in stored_files.local() if not path.startswith("cache/stored/")] == []


def test_while_the_store_is_away_uploads_are_refused_and_nothing_is_left(
    stored_files: StoredFiles, proxy: Proxy, version: ModelVersion, alice: APIClient, users
) -> None:
    known = drawn_photo(1001)
    answered(upload(known))
    rows = Prediction.objects.count()
    proxy.plan = lambda request: "error"
    response = post_photo(alice, drawn_photo(1002))
    assert error_of(response) == (503, "storage_unavailable")
    large = post_photo(alice, drawn_photo(1003) + bytes(3_000_000))
    assert error_of(large) == (503, "storage_unavailable")
    assert Prediction.objects.count() == rows
    usage = usage_of(user=users["alice"])
    assert (usage.predictions_today, usage.bytes_today) == (0, 0)
    assert post_photo(alice, known).json()["reused"] is True
    proxy.plan = lambda request: ""
    assert post_photo(alice, drawn_photo(1002), headers=NO_WAIT).status_code == 202
    assert len([key for key in stored_files.remote() if key.startswith("incoming/")]) == 1


def test_while_the_store_is_away_predictions_wait_in_their_rows(
    stored_files: StoredFiles, proxy: Proxy, version: ModelVersion, photo_server, settings
) -> None:
    prediction = upload(drawn_photo(1004))
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    fetched = ask(f"http://{photo_server.address}/drawn.jpg")
    proxy.plan = lambda request: "drop"
    waiting_score(send=unsent, seconds=0.1)
    for _ in range(4):  # more often than a photo may be started
        prediction_infer(prediction_id=prediction.pk, send=unsent)
    prediction_fetch(prediction_id=fetched.pk, send=unsent)
    for waiting, attempts in ((prediction, 1), (fetched, 0)):
        waiting.refresh_from_db()
        assert (waiting.status, waiting.attempts) == ("pending", attempts)
        assert waiting.next_send_at is not None
        assert waiting.next_send_at <= timezone.now() + timedelta(seconds=60)
    proxy.plan = lambda request: ""
    prediction_fetch(prediction_id=fetched.pk, send=unsent)
    assert [answered(waiting).status for waiting in (prediction, fetched)] == ["done", "done"]
    assert Inference.objects.count() == 2
    assert sorted(others(stored_files)) == sorted(
        [name_of(drawn_photo(1004)), name_of(drawn_photo(1))]
    )


def test_a_store_that_fails_one_request_in_twenty_loses_and_doubles_nothing(
    stored_files: StoredFiles, proxy: Proxy, version: ModelVersion
) -> None:
    proxy.one_in(20, "drop", "lose", "error", "cut", "corrupt")
    photos = [drawn_photo(1010 + number) for number in range(12)]
    predictions = [upload(data) for data in photos]
    waiting_score(send=unsent)
    for prediction in predictions:
        assert answered(prediction).status == "done"
    proxy.plan = lambda request: ""
    assert Inference.objects.count() == Photo.objects.count() == len(photos)
    assert sorted(others(stored_files)) == sorted(map(name_of, photos))


def test_wrong_bytes_are_told_and_never_scored(
    stored_files: StoredFiles, version: ModelVersion, caplog
) -> None:
    data = drawn_photo(1030)
    prediction = upload(data)
    key = f"{stored_files.prefix}/incoming/{prediction.pk}"
    stored_files.store.write(key, drawn_photo(1031))  # another photo, which could be scored
    assert answered(prediction).error_code == "prediction_failed"
    assert not Inference.objects.exists()
    known = answered(upload(data)).inference.photo
    stored_files.store.write(f"{stored_files.prefix}/{name_of(data)}", drawn_photo(1031))
    assert photo_read(sha256=known.sha256) is None
    assert "is missing or damaged" in caplog.text
    with pytest.raises(OSError, match="SHA-256"):
        photo_bytes(str(known.file), known.sha256)


def test_a_deletion_while_the_store_is_away_is_made_up_for(
    stored_files: StoredFiles, proxy: Proxy, version: ModelVersion, alice: APIClient, monkeypatch
) -> None:
    response = post_photo(alice, drawn_photo(1040), headers=NO_WAIT)
    prediction = answered(Prediction.objects.get(pk=response.json()["id"]))
    picture_make(sha256=prediction.sha256, kind="picture")
    waiting = post_photo(alice, drawn_photo(1041), headers=NO_WAIT).json()["id"]
    assert len(others(stored_files)) == 3
    proxy.plan = lambda request: "error"
    for pk in (prediction.pk, waiting):
        assert alice.delete(f"/api/v1/predictions/{pk}").status_code == 204
    assert not Photo.objects.exists()
    with pytest.raises(StorageUnavailable):
        photo_file_delete(name=name_of(drawn_photo(1040)).removeprefix("media/"))
    proxy.plan = lambda request: ""
    assert len(others(stored_files)) == 3
    assert orphans_prune().count == 0, "young ones may be about to get a row"
    monkeypatch.setattr(retention_selectors, "MIN_ORPHAN_AGE_S", -60)
    assert orphans_prune().count == 2
    monkeypatch.setattr(recovery_services, "MIN_AGE_S", -60)
    assert incoming_sweep() == 1
    assert others(stored_files) == []
    assert version_artifact(version)


def test_versions_are_switched_and_removed_in_the_store(
    stored_files: StoredFiles, proxy: Proxy, version: ModelVersion, settings, monkeypatch
) -> None:
    second = another_version(temperature=2.5)
    assert answered(upload(drawn_photo(1050))).inference.model_version == version
    version_promote(version=second, by=None, reason="test")
    assert answered(upload(drawn_photo(1051))).inference.model_version == second
    before = len(proxy.seen)
    assert version_artifact(second).folder.is_relative_to(settings.CHAMPIPY_HOME / "cache")
    assert len(proxy.seen) == before, "this machine has a copy"
    (version_artifact(second).folder / "engine.tflite").write_bytes(b"rust")
    assert version_artifact(second).load_engine(), "a damaged copy is fetched again"
    key = f"{stored_files.prefix}/models/VGG16/2/engine.tflite"
    stored_files.store.write(key, b"rust")
    assert version_artifact(second), "the copy is sound"
    (version_artifact(second).folder / "engine.tflite").unlink()
    with pytest.raises(ArtifactError, match=r"engine.tflite has 4 bytes"):
        version_artifact(second)
    file_store("models").write("VGG16/3/card.json", b"a registration that died")
    monkeypatch.setattr(retention_selectors, "MIN_ORPHAN_AGE_S", -60)
    assert orphans_prune().count == 1
    settings.CHAMPIPY_KEEP_VERSIONS = 0
    assert versions_prune().count == 0
    file_store("models").delete_folder(second.files_name)
    shutil.rmtree(settings.CHAMPIPY_HOME / "cache" / "stored")
    with pytest.raises(ArtifactError, match="no longer stored"):
        version_artifact(second)


def test_a_page_that_needs_the_store_says_that_it_does_not_answer(
    stored_files: StoredFiles, version: ModelVersion, alice: APIClient, users, settings
) -> None:
    response = post_photo(alice, drawn_photo(1060), headers=NO_WAIT)
    prediction = answered(Prediction.objects.get(pk=response.json()["id"]))
    settings.STORAGES = {**settings.STORAGES, **storages_of("s3://b?endpoint=http://127.0.0.1:1")}
    ObjectStorage._ask_after = 0.0
    shown = alice.get(f"/api/v1/predictions/{prediction.pk}/photo")
    assert error_of(shown) == (503, "storage_unavailable")
    assert alice.get(f"/api/v1/predictions/{prediction.pk}").status_code == 200
    assert alice.get("/api/v1/status").status_code == 200
    with pytest.raises(StorageUnavailable):
        photo_read(sha256=prediction.sha256)


def test_work_in_the_background_waits_for_the_store_without_giving_photos_up(
    stored_files: StoredFiles, proxy: Proxy, version: ModelVersion
) -> None:
    shadow_version = another_version(temperature=2.5)
    photo = answered(upload(drawn_photo(1070))).inference.photo
    proxy.plan = lambda request: "error"
    for _ in range(4):
        with pytest.raises(StorageUnavailable):
            photo_embed(photo_id=photo.pk)
        assert shadows_score() == 0
    proxy.plan = lambda request: ""
    photo_embed(photo_id=photo.pk)
    assert PhotoEmbedding.objects.get().numbers is not None
    assert shadows_score() == 1
    shadow = Shadow.objects.get(model_version=shadow_version)
    assert (shadow.lost_workers, shadow.skipped, shadow.error) == (0, [], "")
