"""Retention: what goes, what stays, and what a death in between leaves behind."""

import hashlib
import os
import subprocess
import sys
import time
from datetime import timedelta
from io import StringIO
from pathlib import Path

import psycopg2
import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from common.files import write_atomically
from mlmodels.models import ModelVersion, Species, TrainingRun
from predictions import services as prediction_services
from predictions.deletion_services import old_rows
from predictions.import_services import photo_import
from predictions.models import Feedback, Inference, Photo, PhotoSource, Prediction
from predictions.photo_services import photo_lock_key
from supervision.models import EvaluationSet, LabelDoubt
from supervision.retention.selectors import PORTION, Amount, Subject, prunable
from supervision.retention.services import (
    logins_prune,
    orphans_prune,
    photo_files_prune,
    photos_prune,
    predictions_prune,
    prune,
    sources_prune,
)
from supervision.review.services import photo_label
from tests.support.labelled_photos import ten_species
from tests.support.paths import PROJECT
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload
from tests.support.rows import inference_fields, version_row
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db(transaction=True)


def days_ago(days: float):
    return timezone.now() - timedelta(days=days)


def sha256_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def stored(number: int, media: Path, days: float = 100, **fields: object) -> Photo:
    """Store a photo of 7 bytes that came `days` ago, without an inference."""
    sha256 = sha256_of(number)
    name = f"photos/{sha256[:2]}/{sha256}"
    path = media / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a photo")
    photo = Photo.objects.create(
        sha256=sha256, file=name, bytes=7, width=9, height=9, perceptual_hash=number,
        **fields,
    )  # fmt: skip
    Photo.objects.filter(pk=photo.pk).update(created_at=days_ago(days))
    return photo


def asked(photo: Photo, version: ModelVersion, days: float) -> Prediction:
    """Store an answer to a photo that somebody got `days` ago."""
    inference, _ = Inference.objects.get_or_create(
        photo=photo, model_version=version, defaults=inference_fields(version, [60, 40, *[0] * 8])
    )
    return Prediction.objects.create(
        file="a.jpg", is_upload=True, status="done", inference=inference, sha256=photo.sha256,
        created_at=days_ago(days),
    )  # fmt: skip


def unasked(count: int, days: float) -> None:
    Prediction.objects.bulk_create(
        Prediction(
            file=f"{number}.jpg", is_upload=True, status="failed", error_code="not_an_image",
            created_at=days_ago(days),
        )
        for number in range(count)
    )  # fmt: skip


def files(media: Path) -> set[str]:
    return {path.name for path in media.rglob("*") if path.is_file()}


def in_a_process(code: str, media: Path) -> int:
    """Run code in a process of its own on the test database; return its exit code."""
    database = connection.settings_dict
    url = (
        f"postgres://{database['USER']}:{database['PASSWORD']}"
        f"@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    setup = "import django, os; django.setup()\nfrom django.conf import settings\n"
    setup += f"settings.MEDIA_ROOT = {str(media)!r}\n"
    return subprocess.run(
        [sys.executable, "-c", setup + code],
        cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "champipy_site.settings"},
        timeout=120,
        check=False,
    ).returncode


def test_predictions_go_after_a_year_and_pending_ones_never() -> None:
    unasked(2, days=366)
    unasked(1, days=364)
    Prediction.objects.create(file="b", is_upload=True, created_at=days_ago(999))
    assert predictions_prune(now=timezone.now()) == Amount(Subject.PREDICTIONS, 2)
    assert set(Prediction.objects.values_list("status", flat=True)) == {"failed", "pending"}
    assert Prediction.objects.count() == 2
    assert predictions_prune(now=timezone.now()).count == 0


@pytest.mark.parametrize("kept", [0, -1])
def test_nothing_goes_where_the_settings_are_zero(settings, media, kept) -> None:
    for name in ("PREDICTIONS_DAYS", "PHOTOS_DAYS", "SOURCES_DAYS", "LOGINS_DAYS", "VERSIONS"):
        setattr(settings, f"CHAMPIPY_KEEP_{name}", kept)
    unasked(1, days=9999)
    photo = stored(1, media, days=9999)
    stored(2, media, days=9999, label=ten_species()[0])
    PhotoSource.objects.create(key="k", photo=photo, is_permanent=False, fetched_at=days_ago(9999))
    AccessLog.objects.create(username="eve", ip_address="192.0.2.1")
    AccessLog.objects.update(attempt_time=days_ago(9999))
    Session.objects.create(session_key="s", session_data="", expire_date=days_ago(9999))
    assert not any(amount.count for amount in prunable(timezone.now()))
    assert not any(amount.count for amount in prune())
    assert Prediction.objects.count() == PhotoSource.objects.count() == 1
    assert Photo.objects.count() == len(files(media)) == 2
    assert AccessLog.objects.count() == Session.objects.count() == 1


def test_a_process_that_dies_between_portions_leaves_whole_portions() -> None:
    unasked(2 * PORTION + 10, days=400)

    def die(count: int) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        predictions_prune(now=timezone.now(), report=die)
    assert Prediction.objects.count() == PORTION + 10
    portions: list[int] = []
    assert predictions_prune(now=timezone.now(), report=portions.append).count == PORTION + 10
    assert portions == [PORTION, 10]


def test_bytes_go_first_and_the_answer_stays_until_its_prediction_goes(media) -> None:
    version = version_row()
    photo = stored(1, media)
    prediction = asked(photo, version, days=95)
    PhotoSource.objects.create(key="k", photo=photo, is_permanent=True, fetched_at=days_ago(1))
    pictures = Path(settings.CHAMPIPY_HOME) / "cache" / "pictures"
    thumbnail = pictures / "thumbnail" / photo.sha256[:2] / f"{photo.sha256}.jpg"
    write_atomically(thumbnail, [b"small"])
    now = timezone.now()
    assert photo_files_prune(now=now) == Amount(Subject.PHOTO_FILES, 1, 7)
    assert photos_prune(now=now).count == 0
    assert not thumbnail.exists()
    assert files(media) == set()
    photo.refresh_from_db()
    assert photo.file == ""
    assert not PhotoSource.objects.exists(), "its URL must be fetched again"
    prediction.refresh_from_db()
    assert prediction.inference.best(1) == [(version.labels[0], 60)]
    Prediction.objects.update(created_at=days_ago(366))
    assert [(a.subject, a.count) for a in prunable(timezone.now()) if a.count] == [
        (Subject.PREDICTIONS, 1),
        (Subject.PHOTOS, 1),
    ]
    prune()
    assert not Prediction.objects.exists()
    assert not Inference.objects.exists()
    assert not Photo.objects.exists()


def test_photos_that_anything_needs_stay(media, users) -> None:
    version = version_row()
    species = ten_species()[0]
    labelled = {"label": species, "label_source": "predicted", "split_at": days_ago(100)}
    stored(1, media, split="training", **labelled)
    stored(2, media, split="evaluation", **labelled)
    stored(3, media, **labelled)
    stored(4, media, excluded=True)
    stored(5, media, reviewed_at=days_ago(100), reviewed_by=users["bob"])
    doubted = stored(6, media)
    LabelDoubt.objects.create(
        photo=doubted, label=species, likelier=species, doubt=0.5, method="m",
        audited_at=days_ago(100),
    )  # fmt: skip
    frozen, trained, validated = stored(7, media), stored(8, media), stored(9, media)
    EvaluationSet.objects.create(
        version=1, sha256="s", n=1, manifest=[[frozen.sha256, species.name]], reason="r"
    )
    dataset = {"labels": [], "training": [[trained.sha256, 0]]}
    TrainingRun.objects.create(
        kind="train", parameters={}, dataset={**dataset, "validation": [[validated.sha256, 0]]}
    )
    TrainingRun.objects.create(kind="train", parameters={})
    said = asked(stored(14, media), version, days=91)
    Feedback.objects.create(prediction=said, user=users["alice"])
    waiting = stored(10, media)
    Prediction.objects.create(file="a", is_upload=False, sha256=waiting.sha256)
    asked(stored(11, media), version, days=89)
    stored(12, media, days=89)
    gone = stored(13, media)
    asked(gone, version, days=91)
    before = files(media)
    planned = [(amount.subject, amount.count, amount.bytes) for amount in prunable(timezone.now())]
    assert planned[1:3] == [(Subject.PHOTO_FILES, 1, 7), (Subject.PHOTOS, 0, 0)]
    prune()
    assert before - files(media) == {gone.sha256}
    assert Photo.objects.filter(file="").get() == gone
    assert Photo.objects.count() == 14


def test_a_process_that_dies_after_the_commit_leaves_files_that_the_next_run_finds(media) -> None:
    for number in range(3):
        stored(number, media)
    dies = "from supervision.retention import services\n"
    dies += "services.photo_file_delete = lambda **name: os._exit(9)\nservices.prune()"
    assert in_a_process(dies, media) == 9
    assert Photo.objects.filter(file="").count() == 3
    assert len(files(media)) == 3
    done = {amount.subject: amount for amount in prune()}
    assert done[Subject.PHOTOS].count == 3
    assert done[Subject.ORPHANS].count == 0, "younger than an hour: their row may be on its way"
    for path in media.rglob("*"):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    stored(5, media, days=1)
    os.utime(media / Photo.objects.get().file.name, (0, 0))
    assert orphans_prune() == Amount(Subject.ORPHANS, 3, 21)
    assert files(media) == {sha256_of(5)}
    assert orphans_prune().count == 0


def test_a_photo_whose_bytes_are_being_stored_is_left_out(media) -> None:
    busy, idle = stored(1, media), stored(2, media)
    database = connection.settings_dict
    other = psycopg2.connect(
        host=database["HOST"], port=database["PORT"], user=database["USER"],
        password=database["PASSWORD"], dbname=database["NAME"],
    )  # fmt: skip
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [photo_lock_key(busy.sha256)])
    assert photo_files_prune(now=timezone.now()).count == 1
    other.rollback()
    assert files(media) == {busy.sha256}
    assert Photo.objects.get(file="") == idle
    with other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM predictions_photo WHERE id = %s FOR UPDATE", [busy.pk])
    assert photo_files_prune(now=timezone.now()).count == 0, "somebody reviews it"
    other.close()
    assert photo_files_prune(now=timezone.now()).count == 1


@pytest.fixture
def forgotten(media, production) -> Photo:
    """Return a photo that was scored and has lost its bytes; its prediction is still there."""
    answered(upload(drawn_photo(77)))
    Photo.objects.update(
        created_at=days_ago(100), label=None, label_source="", split="", split_at=None
    )
    Prediction.objects.update(created_at=days_ago(100))
    assert photo_files_prune(now=timezone.now()).count == 1
    photo = Photo.objects.get()
    assert not photo.file
    return photo


def test_a_photo_without_bytes_is_answered_again(forgotten, alice) -> None:
    data = {"file": SimpleUploadedFile("a.jpg", drawn_photo(77))}
    body = alice.post("/api/v1/predictions", data).json()
    assert (body["status"], body["reused"]) == ("done", True)
    assert alice.get(f"/api/v1/predictions/{body['id']}").json()["predictions"]


def test_another_version_stores_the_bytes_again(forgotten, media, production) -> None:
    ModelVersion.objects.update(stage="Archived")
    other = another_version(temperature=3.0)
    ModelVersion.objects.filter(pk=other.pk).update(stage="Production")
    assert answered(upload(drawn_photo(77))).status == "done"
    forgotten.refresh_from_db()
    assert forgotten.file.read() == drawn_photo(77)
    assert photo_files_prune(now=timezone.now()).count == 0, "it was asked for a moment ago"


def test_an_import_stores_the_bytes_again(forgotten) -> None:
    photo_import(
        data=drawn_photo(77), label=ten_species()[0], split="training", origin="a",
        mushroom_observer_id=None,
    )  # fmt: skip
    forgotten.refresh_from_db()
    assert forgotten.file.read() == drawn_photo(77)
    assert forgotten.split == "training"


def test_a_photo_without_bytes_is_neither_reviewed_nor_trained_on(forgotten, users) -> None:
    admin = Client()
    admin.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    page = "/admin/predictions/photo/"
    assert "No photo is here" in admin.get(f"{page}?review=all").content.decode()
    assert admin.get(f"{page}{forgotten.pk}/thumbnail").status_code == 404
    form = {"verdict": "exclude", "photo": f"{forgotten.pk}:"}
    admin.post(f"{page}review/", form)
    forgotten.refresh_from_db()
    assert not forgotten.excluded
    # Somebody whose page was older than the deletion:
    labelled = photo_label(photo=forgotten, species=Species.objects.first(), by=users["bob"])
    assert labelled.split == ""


def test_a_request_whose_stored_answer_was_just_deleted_is_scored(
    media, production, monkeypatch
) -> None:
    data = drawn_photo(78)
    answered(upload(data))
    look = prediction_services.stored_inference

    def look_then_lose(**arguments: object) -> Inference | None:
        found = look(**arguments)
        Prediction.objects.all().delete()
        Inference.objects.all().delete()
        return found

    monkeypatch.setattr(prediction_services, "stored_inference", look_then_lose)
    prediction = upload(data)
    assert (prediction.status, prediction.inference) == ("pending", None)
    monkeypatch.undo()
    prediction = answered(prediction)
    assert (prediction.status, prediction.reused) == ("done", False)


def test_urls_are_forgotten_after_a_month(media) -> None:
    photo = stored(1, media, days=1)
    for key, days in (("old", 31), ("new", 29)):
        PhotoSource.objects.create(
            key=key, photo=photo, is_permanent=True, fetched_at=days_ago(days)
        )
    assert sources_prune(now=timezone.now()) == Amount(Subject.SOURCES, 1)
    assert PhotoSource.objects.get().key == "new"


def test_login_attempts_go_after_a_month_and_sessions_when_they_expire() -> None:
    for model in (AccessAttempt, AccessLog, AccessFailureLog):
        for name, days in (("old", 31), ("new", 29)):
            fields = {"failures_since_start": 1} if model is AccessAttempt else {}
            row = model.objects.create(username=name, ip_address="192.0.2.1", **fields)
            model.objects.filter(pk=row.pk).update(attempt_time=days_ago(days))
    valid, expired = SessionStore(), SessionStore()
    valid.create()
    expired.create()
    Session.objects.filter(pk=expired.session_key).update(expire_date=days_ago(0.01))
    logins, sessions = logins_prune(now=timezone.now())
    assert (logins.count, sessions.count) == (3, 1)
    for model in (AccessAttempt, AccessLog, AccessFailureLog):
        assert model.objects.get().username == "new"
    assert Session.objects.get().pk == valid.session_key


def test_the_command_shows_what_would_go_then_deletes_it(media) -> None:
    unasked(3, days=400)
    stored(1, media)
    shown = StringIO()
    call_command("prune", "--dry-run", stdout=shown)
    lines = {line.split("  ")[0]: line.split() for line in shown.getvalue().splitlines()}
    assert lines["predictions"][-1] == "3"
    assert lines[Subject.PHOTO_FILES][-3:] == ["1", "0", "kB"]
    assert lines[Subject.PHOTOS][-1] == "1"
    assert "Nothing was deleted" in shown.getvalue()
    assert (Prediction.objects.count(), Photo.objects.count(), len(files(media))) == (3, 1, 1)
    shown = StringIO()
    call_command("prune", stdout=shown, stderr=StringIO())
    assert (Prediction.objects.count(), Photo.objects.count(), len(files(media))) == (0, 0, 0)
    shown = StringIO()
    call_command("prune", stdout=shown, stderr=StringIO())
    counts = [line.split()[-1] for line in shown.getvalue().splitlines()[1:-1]]
    assert counts == ["0"] * (len(Subject) + len(old_rows))
