"""The steps of a prediction, with the real database and the real engine."""

import hashlib
from collections.abc import Callable

import pytest
from django.core.files.storage import default_storage

from mlmodels.models import ModelVersion, Species
from mlmodels.services import version_promote
from predictions import recovery_services, scoring_services
from predictions.fetch_services import prediction_fetch
from predictions.models import Inference, Photo, PhotoSource, Prediction
from predictions.photo_services import photo_keep_for_training
from predictions.recovery_services import incoming_sweep, predictions_resend
from predictions.scoring_services import prediction_infer
from tests.support.calibrations import calibrate_version
from tests.support.files import incoming_path
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, ask, unsent, upload
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db(transaction=True)


def incoming_files() -> list:
    return list(incoming_path(0).parent.glob("*"))


def test_an_upload_is_scored_and_its_incoming_file_deleted(production: ModelVersion) -> None:
    data = drawn_photo(2)
    prediction = upload(data, nb_preds=3)
    assert prediction.status == "pending"
    assert incoming_path(prediction.pk).read_bytes() == data
    prediction = answered(prediction)
    assert prediction.status == "done"
    assert not prediction.reused
    best = prediction.inference.best(3)
    assert len(best) == 3
    assert best == sorted(best, key=lambda pair: -pair[1])
    assert sum(prediction.inference.scores) == pytest.approx(100, abs=0.1)
    photo = Photo.objects.get()
    assert photo.sha256 == hashlib.sha256(data).hexdigest()
    assert default_storage.open(photo.file.name).read() == data
    assert incoming_files() == []


def test_the_same_photo_is_answered_from_the_stored_inference(production) -> None:
    answered(upload(drawn_photo(3)))
    again = upload(drawn_photo(3), nb_preds=10, name="another name.png")
    assert (again.status, again.reused) == ("done", True)
    assert len(again.inference.best(10)) == 10
    assert Inference.objects.count() == 1


def test_a_task_that_runs_twice_changes_nothing(production) -> None:
    prediction = answered(upload(drawn_photo(4)))
    before = Prediction.objects.values().get()
    prediction_infer(prediction_id=prediction.pk)
    prediction_fetch(prediction_id=prediction.pk, send=unsent)
    assert Prediction.objects.values().get() == before
    assert Inference.objects.count() == 1


def test_two_pending_requests_for_one_photo_are_scored_once(production) -> None:
    first, second = upload(drawn_photo(5)), upload(drawn_photo(5))
    assert (first.status, second.status) == ("pending", "pending")
    assert not answered(first).reused
    assert answered(second).reused
    assert Inference.objects.count() == 1


def test_another_version_scores_the_stored_photo_again(production, photo_server) -> None:
    url = f"http://{photo_server.address}/drawn.jpg"
    first = predict_url(url, photo_server)
    assert first.status == "done"
    successor = another_version(temperature=2.0)
    version_promote(version=successor, by=None, reason="test")
    again = predict_url(url, photo_server)
    assert again.inference.model_version == successor
    assert not again.reused
    assert Inference.objects.count() == 2


def predict_url(url: str, server: PhotoServer) -> Prediction:
    """Create a prediction of a URL and do the workers' work in this process."""
    from django.test import override_settings

    with override_settings(CHAMPIPY_FETCH_ALLOW=frozenset({server.address})):
        prediction = ask(url)
        if prediction.status == "pending" and not prediction.sha256:
            prediction_fetch(prediction_id=prediction.pk, send=unsent)
        prediction_infer(prediction_id=prediction.pk)
        prediction.refresh_from_db()
    return prediction


def test_a_url_and_an_upload_of_the_same_photo_share_an_inference(production, photo_server) -> None:
    from_url = predict_url(f"http://{photo_server.address}/drawn.jpg", photo_server)
    from_disk = upload(drawn_photo(1))
    assert from_url.status == from_disk.status == "done"
    assert from_disk.reused
    assert from_disk.inference == from_url.inference
    assert PhotoSource.objects.get().photo == from_url.inference.photo


def test_a_recently_fetched_url_is_not_fetched_again(production, photo_server) -> None:
    url = f"http://{photo_server.address}/drawn.jpg"
    predict_url(url, photo_server)
    again = ask(url)
    # The address is still checked, and is no longer allowed here.
    assert (again.status, again.error_code) == ("failed", "url_forbidden")
    from django.test import override_settings

    with override_settings(CHAMPIPY_FETCH_ALLOW=frozenset({photo_server.address})):
        again = ask(url)
    assert (again.status, again.reused) == ("done", True)


def test_a_refused_photo_leaves_an_error_code_and_no_file(production) -> None:
    prediction = answered(upload(b"<html>no photo</html>"))
    assert (prediction.status, prediction.error_code) == ("failed", "not_an_image")
    assert prediction.error_detail
    assert incoming_files() == []
    assert Photo.objects.count() == 0


def test_without_a_model_in_production_a_prediction_fails_and_is_stored(db: None) -> None:
    prediction = upload(drawn_photo(6))
    assert Prediction.objects.get() == prediction
    assert prediction.error_code == "no_active_model"


@pytest.fixture
def keep_all_photos(settings, production) -> None:
    """Keep drawn photos, too, which the shipped version finds out of scope."""
    settings.CHAMPIPY_KEEP_SCORE = 0
    calibrate_version(production, threshold=0.0)


def test_a_photo_with_a_high_score_becomes_a_training_photo_once(
    production, keep_all_photos
) -> None:
    prediction = answered(upload(drawn_photo(7)))
    photo = Photo.objects.get()
    assert (photo.split, photo.label_source) == ("training", "predicted")
    assert photo.label.name == prediction.inference.best(1)[0][0]
    split_at = photo.split_at
    assert not photo_keep_for_training(photo=photo, species_name=photo.label.name)
    photo.refresh_from_db()
    assert photo.split_at == split_at


def test_a_photo_with_a_low_score_does_not_become_a_training_photo(production, settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 100
    answered(upload(drawn_photo(8)))
    assert Photo.objects.get().split == ""


def test_a_photo_resembling_an_evaluation_photo_is_not_trained_on(
    production, keep_all_photos
) -> None:
    answered(upload(drawn_photo(9)))
    evaluation = Photo.objects.get()
    evaluation.split = "evaluation"
    evaluation.save()
    answered(upload(drawn_photo(9, format="PNG")))
    assert list(Photo.objects.values_list("split", flat=True).order_by("pk")) == ["evaluation", ""]


def test_a_photo_of_an_evaluation_observation_is_not_trained_on(production) -> None:
    fly_agaric = Species.objects.get(name="Amanita muscaria")
    answered(upload(drawn_photo(10)))
    answered(upload(drawn_photo(11)))
    candidate, evaluation = Photo.objects.order_by("-pk")
    Photo.objects.filter(pk=evaluation.pk).update(
        split="evaluation",
        label=fly_agaric,
        label_source="imported",
        mushroom_observer_id=1000,
        split_at=evaluation.created_at,
    )
    Photo.objects.update(perceptual_hash=0)
    Photo.objects.filter(pk=candidate.pk).update(
        split="", label=None, label_source="", perceptual_hash=-1, mushroom_observer_id=1003
    )
    candidate.refresh_from_db()
    assert not photo_keep_for_training(photo=candidate, species_name="Amanita muscaria")
    Photo.objects.filter(pk=candidate.pk).update(mushroom_observer_id=1004)
    candidate.refresh_from_db()
    assert photo_keep_for_training(photo=candidate, species_name="Amanita muscaria")


def test_a_photo_that_keeps_killing_its_worker_fails(production) -> None:
    prediction = upload(drawn_photo(12))
    Prediction.objects.update(attempts=scoring_services.MAX_ATTEMPTS)
    assert answered(prediction).error_code == "prediction_failed"
    assert incoming_files() == []


def test_an_unanswered_prediction_is_sent_again(production, monkeypatch) -> None:
    sent: list[int] = []
    record: Callable[[Prediction], None] = lambda prediction: sent.append(prediction.pk)  # noqa: E731
    monkeypatch.setattr(recovery_services, "send_to_worker", record)
    prediction = upload(drawn_photo(13))
    assert predictions_resend() == 0, "it is not overdue yet"
    Prediction.objects.update(next_send_at=prediction.created_at)
    assert predictions_resend() == 1
    assert predictions_resend() == 0, "it is not sent again before next_send_at"
    assert sent == [prediction.pk]
    answered(prediction)
    assert not Prediction.objects.filter(next_send_at__isnull=False).exists()
    assert predictions_resend() == 0


def test_files_left_by_dead_processes_are_deleted(production) -> None:
    import os

    kept, orphan = upload(drawn_photo(14)), upload(drawn_photo(15))
    Prediction.objects.filter(pk=orphan.pk).delete()
    partial = incoming_path(0).with_name("7.123.partial")
    partial.write_bytes(b"x")
    for path in incoming_files():
        os.utime(path, (0, 0))
    assert incoming_sweep() == 2
    assert incoming_files() == [incoming_path(kept.pk)]
    answered(kept)
