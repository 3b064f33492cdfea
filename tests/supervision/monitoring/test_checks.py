"""The checks: the alerts that they raise and resolve, also when repeated or interrupted."""

import shutil
from contextlib import closing
from datetime import timedelta
from io import StringIO
from pathlib import Path

import psycopg2
import pytest
from celery import current_app
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from mlmodels.models import ModelVersion, StageTransition, TrainingRun
from predictions.models import Photo, Prediction
from supervision.datasets.services import evaluation_set_freeze
from supervision.models import Alert, Check, Evaluation, EvaluationSet
from supervision.monitoring import check_services
from supervision.monitoring.check_services import check_run, service_watch
from tests.support.rows import answered_prediction, evaluation_rows, photo_rows, version_row

pytestmark = pytest.mark.django_db


def unresolved() -> list[tuple[str, float]]:
    alerts = Alert.objects.exclude(status="resolved").order_by("kind")
    return [(alert.kind, alert.value) for alert in alerts]


def measured_version(right: int) -> ModelVersion:
    """Return a version in production that classified `right` of ten evaluation photos correctly."""
    version = version_row()
    evaluation_rows(version, right=right)
    return version


def test_low_accuracy_raises_one_alert_and_one_mail_and_is_resolved(mail) -> None:
    version = measured_version(6)
    for _ in range(2):
        check = check_run(kind="accuracy")
        assert check.result == "VGG16 1: 60.00 % of 10 photos (target 70 %)"
        assert unresolved() == [("low_accuracy", 60)]
        assert len(mail.received) == 1
    Evaluation.objects.update(accuracy=0.7)
    check_run(kind="accuracy")
    assert unresolved() == []
    assert Alert.objects.get().resolved_at is not None
    check_run(kind="accuracy")
    assert (Alert.objects.count(), len(mail.received)) == (1, 1)
    # Another version in production: an alert about the old one is resolved as well.
    Evaluation.objects.update(accuracy=0.5)
    check_run(kind="accuracy")
    ModelVersion.objects.filter(pk=version.pk).update(stage="Archived")
    version_row(2)
    service_watch()
    assert unresolved() == []


@pytest.mark.parametrize(("target", "is_low"), [(60, False), (60.01, True)])
def test_the_target_is_a_setting_and_reached_when_equal(settings, target, is_low) -> None:
    settings.CHAMPIPY_TARGET_ACCURACY = target
    measured_version(6)
    check_run(kind="accuracy")
    assert bool(unresolved()) is is_low


@pytest.mark.parametrize("has_model", [False, True])
def test_a_check_with_nothing_to_measure_says_so(has_model) -> None:
    if has_model:
        version_row()
    check = check_run(kind="accuracy")
    assert ("evaluation photos" if has_model else "No model") in check.result
    assert check.error == ""
    assert unresolved() == []


def in_production_since(version: ModelVersion, at) -> None:
    moved = StageTransition.objects.create(
        model_version=version, from_stage="Staging", to_stage="Production", reason="test"
    )
    StageTransition.objects.filter(pk=moved.pk).update(created_at=at)


def test_new_photos_raise_the_alert_exactly_at_the_threshold(mail) -> None:
    version = version_row()
    in_production_since(version, timezone.now())
    photo_rows(50)
    last = Photo.objects.order_by("pk").last()
    Photo.objects.filter(pk=last.pk).update(split="", split_at=None)
    check_run(kind="new_photos")
    assert unresolved() == []
    Photo.objects.filter(pk=last.pk).update(split="training", split_at=timezone.now())
    for _ in range(2):
        check_run(kind="new_photos")
        assert unresolved() == [("new_photos", 500)]
        assert len(mail.received) == 1
    assert TrainingRun.objects.count() == 0, "off by default"
    in_production_since(version, timezone.now())
    check_run(kind="new_photos")
    assert unresolved() == []


def test_retraining_is_requested_once_per_production_period(settings, bob) -> None:
    version = version_row()
    in_production_since(version, timezone.now() - timedelta(days=1))
    photo_rows(50)
    check_run(kind="new_photos")
    settings.CHAMPIPY_RETRAIN = True
    for _ in range(2):
        check_run(kind="new_photos")
    run = TrainingRun.objects.get()
    assert (run.kind, run.status, run.requested_by) == ("train", "queued", None)
    [alert] = bob.get("/api/v1/alerts").json()["results"]
    assert alert["run"] == run.pk
    assert f"Run {run.pk} was started automatically" in alert["advice"]
    # Resolved and raised again for the same model: no second run.
    settings.CHAMPIPY_NEW_PHOTOS = 501
    check_run(kind="new_photos")
    settings.CHAMPIPY_NEW_PHOTOS = 500
    check_run(kind="new_photos")
    assert (Alert.objects.count(), TrainingRun.objects.count()) == (2, 1)
    # A new production period: another run.
    in_production_since(version, timezone.now())
    check_run(kind="new_photos")
    Photo.objects.update(split_at=timezone.now())
    check_run(kind="new_photos")
    assert TrainingRun.objects.count() == 2


def test_retraining_that_cannot_start_says_why(settings) -> None:
    settings.CHAMPIPY_RETRAIN, settings.CHAMPIPY_NEW_PHOTOS = True, 10
    in_production_since(version_row(), timezone.now() - timedelta(days=1))
    photo_rows(1)
    check = check_run(kind="new_photos")
    assert check.error == ""
    assert "Aleuria aurantia (1)" in Alert.objects.get().detail
    assert TrainingRun.objects.count() == 0


def test_a_check_that_fails_is_an_alert_until_it_succeeds(mail, settings, tmp_path) -> None:
    settings.CHAMPIPY_HOME = tmp_path
    version_row()
    photo_rows(1)
    Photo.objects.update(split="evaluation")  # whose files, and the version's, do not exist
    evaluation_set_freeze(by=None, reason="test")
    for times in (1, 2):
        check = check_run(kind="accuracy")
        assert "ArtifactError" in check.error
        assert unresolved() == [("accuracy_check_failed", times)]
    assert len(mail.received) == 1
    text = mail.received[0][0].get_payload(decode=True).decode()
    assert "The files of VGG16 1 are no longer stored" in text
    check_run(kind="new_photos")
    assert unresolved() == [("accuracy_check_failed", 2)], (
        "the success of another check does not resolve it"
    )
    EvaluationSet.objects.all().delete()
    check_run(kind="accuracy")
    assert unresolved() == []


def unanswered_prediction(seconds_ago: float, **more) -> Prediction:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    more = {"next_send_at": at if more.get("status") is None else None, **more}
    return Prediction.objects.create(file="a.jpg", is_upload=True, created_at=at, **more)


def test_a_photo_that_waits_for_its_users_others_raises_no_alert() -> None:
    version_row()
    waiting = unanswered_prediction(660, next_send_at=None)
    service_watch()
    assert unresolved() == []
    Prediction.objects.filter(pk=waiting.pk).update(next_send_at=timezone.now())
    service_watch()
    assert unresolved() == [("predictions_unanswered", 11)]


SERVICE_FAILURE = {"status": "failed", "error_code": "no_active_model"}


@pytest.mark.parametrize("fields", [{}, SERVICE_FAILURE], ids=["pending", "failed"])
def test_unanswered_predictions_raise_an_alert_after_ten_minutes(fields) -> None:
    version = version_row()
    answered_prediction(80, version)
    unanswered_prediction(590, **fields)
    service_watch()
    assert unresolved() == []
    Prediction.objects.filter(inference=None).update(
        created_at=timezone.now() - timedelta(seconds=660)
    )
    for _ in range(2):
        service_watch()
        assert unresolved() == [("predictions_unanswered", 11)]
    answered_prediction(80, version, reused=True)
    service_watch()
    assert len(unresolved()) == 1, "stored scores need no worker"
    answered_prediction(81, version)
    service_watch()
    assert unresolved() == []


def test_errors_of_users_raise_no_alert() -> None:
    unanswered_prediction(3600, status="failed", error_code="image_not_found")
    service_watch()
    assert unresolved() == []


def test_a_check_whose_process_died_is_requested_again_and_finally_fails() -> None:
    client = current_app.connection_for_write().channel().client
    client.delete("monitoring")
    check_run(kind="new_photos")
    lost = {"finished_at": None, "begun_at": timezone.now() - timedelta(minutes=9)}
    Check.objects.update(**lost, attempts=1)
    service_watch()
    assert client.llen("monitoring") == 0, "it may still be running"
    Check.objects.update(begun_at=timezone.now() - timedelta(minutes=11))
    service_watch()
    assert client.llen("monitoring") == 1
    Check.objects.update(attempts=3)
    service_watch()
    assert client.llen("monitoring") == 1
    assert unresolved() == [("new_photos_check_failed", 1)]
    assert "3 times without an error message" in Alert.objects.get().detail
    client.delete("monitoring")


@pytest.mark.django_db(transaction=True)
def test_a_check_waits_for_a_database_that_restarts(monkeypatch) -> None:
    measured_version(6)
    real_evaluation_set = check_services.evaluation_set
    cut_connections: list[bool] = []

    def cut_off(labels):
        if not cut_connections:
            own = connection.connection.info.backend_pid
            with closing(psycopg2.connect(**connection.get_connection_params())) as other:
                other.cursor().execute("SELECT pg_terminate_backend(%s)", [own])
            cut_connections.append(own)
        return real_evaluation_set(labels)

    monkeypatch.setattr(check_services, "evaluation_set", cut_off)
    check = check_run(kind="accuracy")
    assert len(cut_connections) == 1
    assert (check.error, check.attempts) == ("", 0)
    assert unresolved() == [("low_accuracy", 60)]


def test_command_runs_system_checks_and_then_the_weekly_checks() -> None:
    measured_version(6)
    out = StringIO()
    call_command("check", stdout=out, stderr=out)
    text = out.getvalue()
    assert text.startswith("System check identified no issues")
    assert "accuracy: VGG16 1: 60.00 % of 10 photos (target 70 %)" in text
    assert "new photos: VGG16 1: 0 new photos" in text
    assert "Alert: The accuracy of VGG16 1 is 60.0 %, below the target of 70 %." in text
    assert "EMAIL_URL" in text
    assert unresolved() == [("low_accuracy", 60)]


@pytest.mark.parametrize(
    "arguments", [["--tag", "models"], ["--list-tags"], ["supervision"], ["--database", "default"]]
)
def test_command_with_options_runs_only_system_checks(arguments) -> None:
    measured_version(6)
    call_command("check", *arguments, stdout=StringIO(), stderr=StringIO())
    assert Check.objects.count() == Alert.objects.count() == 0


def test_command_fails_if_something_could_not_be_checked() -> None:
    version_row()
    photo_rows(1)
    Photo.objects.update(split="evaluation")
    evaluation_set_freeze(by=None, reason="test")
    with pytest.raises(CommandError, match="Not everything"):
        call_command("check", stdout=StringIO(), stderr=StringIO())


@pytest.mark.django_db(transaction=True)
def test_the_admins_button_makes_a_worker_check(client, users, workers) -> None:
    measured_version(6)
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/admin/supervision/alert/check/").status_code == 405
    page = client.post("/admin/supervision/alert/check/", follow=True).content.decode()
    assert "A worker checks now" in page
    deadline = timezone.now() + timedelta(seconds=60)
    while Check.objects.filter(finished_at__isnull=False).count() < 2:
        assert timezone.now() < deadline
    assert unresolved() == [("low_accuracy", 60)]
    page = client.get("/admin/supervision/alert/").content.decode()
    assert "60.00 % of 10 photos" in page


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_misplaced_evaluation_photos_raise_the_alert(
    real_photos: Path,
    production,
    mail,
    settings,
    tmp_path: Path,
    record_property,
) -> None:
    """One real photo in six is in the folder of the next species."""
    folders = sorted(path for path in (real_photos / "evaluation").iterdir() if path.is_dir())
    photos = [path for folder in folders for path in sorted(folder.iterdir())]
    misplaced = set(photos[::6])

    def import_evaluation(name: str, wrong: set[Path], *reason: str) -> None:
        Photo.objects.all().delete()
        for path in photos:
            place = folders.index(path.parent) + (path in wrong)
            target = tmp_path / name / folders[place % len(folders)].name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        options = ["--split", "evaluation", "--allow-resembling", *reason]
        out = StringIO()
        call_command("import_photos", str(tmp_path / name), *options, stdout=out, stderr=out)

    import_evaluation("misplaced", misplaced)
    check = check_run(kind="accuracy")
    accuracy = 100 * Evaluation.objects.get().accuracy
    print(check.result)
    assert 60 < accuracy < 80
    if accuracy >= configured.CHAMPIPY_TARGET_ACCURACY:  # the version is that good
        settings.CHAMPIPY_TARGET_ACCURACY = 80
    for _ in range(2):
        check_run(kind="accuracy")
        assert [kind for kind, _ in unresolved()] == ["low_accuracy"]
        assert len(mail.received) == 1
    import_evaluation("right", set(), "--new-version", "labels put right")
    check = check_run(kind="accuracy")
    print(check.result)
    assert unresolved() == []
    assert (Alert.objects.count(), Evaluation.objects.count(), len(mail.received)) == (1, 2, 1)


def test_new_photos_raise_the_alert_although_the_retraining_cannot_be_queued(settings) -> None:
    settings.CHAMPIPY_RETRAIN, settings.CHAMPIPY_NEW_PHOTOS = True, 100
    version = version_row()
    in_production_since(version, timezone.now())
    photo_rows(10)
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE mlmodels_trainingrun ADD CONSTRAINT no_more CHECK (id < 0) NOT VALID"
        )
    check = check_run(kind="new_photos")
    assert check.error == ""
    assert unresolved() == [("new_photos", 100)]
    alert = Alert.objects.get()
    assert alert.run is None
    assert alert.detail.startswith("No retraining was started. IntegrityError: ")
    assert alert.detail.endswith("Start one in the admin, at Training runs.")
    assert TrainingRun.objects.count() == 0
