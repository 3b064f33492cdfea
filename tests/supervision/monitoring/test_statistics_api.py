"""GET /accuracy, /past_pred_acc and /nb_new_img, for administrators only."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mlmodels.models import ModelVersion, Species, StageTransition
from predictions.import_services import photo_import
from predictions.models import Photo
from supervision.datasets.services import evaluation_set_freeze
from supervision.models import Alert, Check, Evaluation
from tests.support.api import error_of
from tests.support.labelled_photos import ten_species
from tests.support.photos import drawn_photo
from tests.support.rows import answered_prediction, evaluation_rows, photo_rows, version_row

pytestmark = pytest.mark.django_db
PATHS = ("/api/v1/accuracy", "/api/v1/past_pred_acc", "/api/v1/nb_new_img")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("who", "status"), [("nobody", 401), ("alice", 403), ("bob", 200)])
def test_statistics_are_for_administrators(request, production, who, status, path) -> None:
    assert request.getfixturevalue(who).get(path).status_code == status
    assert Evaluation.objects.count() == Check.objects.count() == Alert.objects.count() == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE"])
def test_statistics_are_read_only(bob, path, verb) -> None:
    assert bob.generic(verb, path).status_code == 405


def test_accuracy_of_a_fresh_installation_comes_from_the_model_card(bob, production) -> None:
    body = bob.get("/api/v1/accuracy").json()
    measured = production.metrics["evaluation"]
    assert body["measured"] == "at_training"
    assert body["accuracy"] == round(100 * measured["accuracy"], 2)
    assert body["ci95"] == [round(100 * bound, 2) for bound in measured["ci95"]]
    assert (body["n"], body["target"], body["meets_target"]) == (measured["n"], 70, True)
    assert body["model"] == {"name": "VGG16", "version": production.version}
    assert [each["species"] for each in body["per_species"]] == production.labels
    assert body["evaluation_set"] == measured["evaluation_set"]
    assert body["evaluated_at"] is None


def test_accuracy_without_evaluation_photos_and_card_says_what_to_do(bob) -> None:
    version = version_row()
    ModelVersion.objects.filter(pk=version.pk).update(metrics={})
    response = bob.get("/api/v1/accuracy")
    assert error_of(response) == (404, "no_evaluation_set")
    assert "import_photos" in response.json()["errors"][0]["detail"]


def test_accuracy_without_a_model_in_production(bob) -> None:
    assert error_of(bob.get("/api/v1/accuracy")) == (503, "no_active_model")


def test_accuracy_is_answered_from_the_stored_evaluation(
    bob, production, settings, django_assert_num_queries
) -> None:
    evaluation = evaluation_rows(production, right=7)
    # The token with its user, the version, the set's name, the evaluation.
    with django_assert_num_queries(4):
        body = bob.get("/api/v1/accuracy").json()
    assert body == {
        "accuracy": 70.0,
        "ci95": [12.35, 98.77],
        "n": 10,
        "target": 70.0,
        "meets_target": True,
        "model": {"name": "VGG16", "version": production.version},
        "evaluation_set": evaluation.evaluation_set,
        "per_species": [
            {"species": "Aleuria aurantia", "n": 3, "accuracy": 66.67},
            {"species": "Amanita muscaria", "n": 0, "accuracy": None},
        ],
        "evaluated_at": evaluation.evaluated_at.isoformat().replace("+00:00", "Z"),
        "measured": "here",
    }
    settings.CHAMPIPY_TARGET_ACCURACY = 70.01
    assert bob.get("/api/v1/accuracy").json()["meets_target"] is False


@pytest.mark.django_db(transaction=True)
def test_accuracy_is_measured_once_by_a_worker(bob, production, workers) -> None:
    for number, species in enumerate(ten_species()):
        photo_import(
            data=drawn_photo(700 + number),
            label=species,
            split="evaluation",
            origin="drawn",
            mushroom_observer_id=None,
        )
    evaluation_set_freeze(by=None, reason="test")
    first = bob.get("/api/v1/accuracy", headers={"Prefer": "respond-async"})
    assert first.status_code == 202
    assert first.json()["status"] == "evaluating"
    assert first.json()["total"] == 10
    assert int(first.headers["Retry-After"]) > 0
    answer = bob.get(first.headers["Location"], headers={"Prefer": "wait=30"})
    assert answer.status_code == 200
    evaluation = Evaluation.objects.get()
    assert answer.json()["measured"] == "here"
    assert answer.json()["accuracy"] == round(100 * evaluation.accuracy, 2)
    assert answer.json()["n"] == 10
    assert bob.get("/api/v1/accuracy").json() == answer.json()
    # Another set is measured separately; the old evaluation does not change.
    Photo.objects.filter(label__name="Amanita muscaria").update(
        label=Species.objects.get(name="Aleuria aurantia")
    )
    assert bob.get("/api/v1/accuracy").json() == answer.json(), "frozen"
    evaluation_set_freeze(by=None, reason="another label")
    again = bob.get("/api/v1/accuracy", headers={"Prefer": "wait=30"}).json()
    assert again["evaluation_set"] != answer.json()["evaluation_set"]
    assert Evaluation.objects.count() == 2


def test_mean_score_uses_the_existing_predictions(bob, production) -> None:
    for score in (60, 70, 95.5):
        answered_prediction(score, production)
    failed = {"status": "failed", "inference": None, "error_code": "not_an_image"}
    answered_prediction(99, production, **failed)
    answered_prediction(99, production, status="pending", inference=None)
    path = "/api/v1/past_pred_acc"
    assert bob.get(path, {"nb_last_preds": 2}).json() == {
        "mean_score": 82.75,
        "requested": 2,
        "counted": 2,
    }
    assert bob.get(path).json() == {"mean_score": 75.17, "requested": 10, "counted": 3}


def test_mean_score_leaves_out_what_champipy_asked_for_by_itself(bob, production) -> None:
    answered_prediction(60, production)
    answered_prediction(90, production, is_background=True)
    assert bob.get("/api/v1/past_pred_acc").json() == {
        "mean_score": 60.0,
        "requested": 10,
        "counted": 1,
    }


def test_mean_score_of_no_predictions_says_so(bob) -> None:
    body = bob.get("/api/v1/past_pred_acc", {"nb_last_preds": 5}).json()
    assert (body["mean_score"], body["requested"], body["counted"]) == (None, 5, 0)
    assert "No prediction" in body["detail"]


@pytest.mark.parametrize(
    "value", ["abc", "1.5", "1.0", "0", "-1", "true", "", " 5", "1001", "٣", "9" * 30, "1e2"]
)
def test_invalid_number_of_last_predictions_is_refused(bob, value) -> None:
    response = bob.get("/api/v1/past_pred_acc", {"nb_last_preds": value})
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "nb_last_preds"


def test_new_photos_are_those_since_production(bob, production) -> None:
    photo_rows(1)
    since = StageTransition.objects.get(to_stage="Production").created_at
    chosen = list(Photo.objects.order_by("pk"))
    for photo, at in zip(chosen, (-1, 0, 1, 2), strict=False):
        Photo.objects.filter(pk=photo.pk).update(split_at=since + timedelta(seconds=at))
    Photo.objects.filter(pk__in=[photo.pk for photo in chosen[4:9]]).update(split="evaluation")
    query = {"model_name": "VGG16", "stage": "Production"}
    body = bob.get("/api/v1/nb_new_img", query).json()
    assert body == {
        "nb_new_img": 3,  # one a second after, one two seconds after, and the last one
        "since": since.isoformat().replace("+00:00", "Z"),
        "model": {"name": "VGG16", "version": production.version, "stage": "Production"},
        "target": 500,
    }
    assert bob.get("/api/v1/nb_new_img").json() == body


def test_new_photos_of_another_stage_count_since_its_newest_version_entered_it(bob) -> None:
    version_row(1, "Staging")
    newest = version_row(2, "Staging")
    body = bob.get("/api/v1/nb_new_img", {"stage": "Staging"}).json()
    assert body["model"] == {"name": "VGG16", "version": 2, "stage": "Staging"}
    assert body["since"] == newest.created_at.isoformat().replace("+00:00", "Z")
    moved = StageTransition.objects.create(
        model_version=newest, from_stage="Archived", to_stage="Staging", reason="test"
    )
    StageTransition.objects.filter(pk=moved.pk).update(
        created_at=timezone.now() + timedelta(days=1)
    )
    moved.refresh_from_db()
    body = bob.get("/api/v1/nb_new_img", {"stage": "Staging"}).json()
    assert body["since"] == moved.created_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "query",
    [
        {"model_name": "ResNet50"},
        {"model_name": "vgg16"},
        {"stage": "Staging"},
        {"stage": "production"},
        {"stage": "nonsense"},
    ],
    ids=str,
)
def test_new_photos_of_an_unknown_model_or_stage_are_not_found(bob, production, query) -> None:
    response = bob.get("/api/v1/nb_new_img", query)
    assert error_of(response) == (404, "not_found")
    assert "VGG16 in Production" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    "query",
    [{"model_name": ""}, {"stage": ""}, {"model_name": "x" * 51}, {"stage": "a\0b"}],
    ids=str,
)
def test_new_photos_with_invalid_parameters_are_refused(bob, production, query) -> None:
    response = bob.get("/api/v1/nb_new_img", query)
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == next(iter(query))
