"""`GET /models`, promotion and rollback through the API, some with real workers."""

import time
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion, Species, StageTransition
from mlmodels.scoring import score_image
from mlmodels.selectors import production_version
from mlmodels.services import version_promote
from predictions.import_services import photo_import
from predictions.models import Photo
from supervision.datasets.services import evaluation_set_freeze
from supervision.models import Evaluation
from tests.support.photos import drawn_photo
from tests.support.versions import another_version

CALLS = {
    ("GET", "/api/v1/models"): 200,
    ("POST", "/api/v1/models/{id}/promote"): 400,  # no reason
    ("POST", "/api/v1/models/999999/promote"): 404,
    ("POST", "/api/v1/models/rollback"): 409,  # no version was in production before
}


def promote(client: APIClient, version: ModelVersion, **body: object) -> Any:
    return client.post(f"/api/v1/models/{version.pk}/promote", body, format="json")


def codes(response: Any) -> list[str]:
    return [error["code"] for error in response.json()["errors"]]


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "expected"), [("nobody", 401), ("alice", 403), ("bob", None)])
def test_only_administrators_can_list_and_switch(
    request, production, who: str, expected: int | None
) -> None:
    successor = another_version(temperature=0.5)
    client: APIClient = request.getfixturevalue(who)
    for (method, path), for_bob in CALLS.items():
        response = client.generic(method, path.format(id=successor.pk))
        assert response.status_code == (expected or for_bob), path
    assert production_version() == production
    assert StageTransition.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "expected"), [("nobody", 401), ("alice", 403)])
def test_a_valid_call_by_others_changes_nothing(request, production, who, expected) -> None:
    successor = another_version(temperature=0.5)
    client: APIClient = request.getfixturevalue(who)
    assert promote(client, successor, reason="mine", override=True).status_code == expected
    assert production_version() == production
    assert StageTransition.objects.count() == 1


@pytest.mark.django_db
def test_a_promotion_needs_a_valid_reason(bob, production) -> None:
    successor = another_version(temperature=0.5)
    for body in (
        {},
        {"reason": ""},
        {"reason": "  "},
        {"reason": None},
        {"reason": ["a"]},
        {"override": True},
        {"reason": "x", "override": "perhaps"},
        {"reason": "nul \0"},
        {"reason": "x" * 2001},
    ):
        response = promote(bob, successor, **body)
        assert response.status_code == 400, body
        assert response.json()["errors"][0]["attr"] in ("reason", "override")
    assert production_version() == production
    assert StageTransition.objects.count() == 1


@pytest.mark.django_db
def test_a_reason_with_half_a_surrogate_pair_is_refused(bob, production) -> None:
    path = f"/api/v1/models/{production.pk}/promote"
    response = bob.post(path, '{"reason": "half \\ud800"}', content_type="application/json")
    assert (response.status_code, response.json()["errors"][0]["attr"]) == (400, "reason")
    assert production_version() == production


@pytest.mark.django_db
def test_the_list_has_all_versions_with_their_metrics(bob, production, django_assert_num_queries):
    successor = another_version(temperature=0.5)
    # The token with its user, the labels, the evaluation photos (there are none), count, page.
    with django_assert_num_queries(5):
        answer = bob.get("/api/v1/models").json()
    newest, oldest = answer["results"]
    assert (newest["id"], newest["version"], newest["stage"]) == (successor.pk, 2, "Staging")
    assert (oldest["name"], oldest["version"], oldest["stage"]) == ("VGG16", 1, "Production")
    metrics = oldest["metrics"]
    card = production.metrics["evaluation"]
    assert metrics == {
        "accuracy": card["accuracy"],
        "ci95": card["ci95"],
        "n": card["n"],
        "ece": card["ece"],
        "measured": "at_training",
    }
    assert {file["name"] for file in oldest["files"]} == {"engine.tflite", "weights.safetensors"}
    assert len(oldest["labels"]) == 10
    assert (oldest["parent"], oldest["run"]) == (None, None)


@pytest.mark.django_db
def test_promotion_and_rollback_return_the_version_in_production(bob, production) -> None:
    successor = another_version(temperature=0.5)
    response = promote(bob, successor, reason="better")
    assert response.status_code == 200, response.json()
    assert (response.json()["id"], response.json()["stage"]) == (successor.pk, "Production")
    response = bob.post("/api/v1/models/rollback", {"reason": "no"}, format="json")
    assert (response.status_code, response.json()["id"]) == (200, production.pk)
    assert StageTransition.objects.first().reason == "no"
    response = bob.post("/api/v1/models/rollback", {}, format="json")
    assert (response.status_code, codes(response)) == (409, ["nothing_to_roll_back_to"])
    assert production_version() == production


@pytest.mark.django_db
def test_a_rollback_that_names_what_it_leaves_rolls_back_once(bob, production) -> None:
    versions = [production, another_version(temperature=0.5), another_version(temperature=0.4)]
    for version in versions[1:]:
        version_promote(version=version, by=None, reason="next")
    path, body = "/api/v1/models/rollback", {"leaving": versions[2].pk}
    response = bob.post(path, body, format="json")
    assert (response.status_code, response.json()["id"]) == (200, versions[1].pk)
    before = StageTransition.objects.count()
    for wrong in (versions[2].pk, production.pk, 999_999, 10**30):
        response = bob.post(path, {"leaving": wrong}, format="json")
        assert (response.status_code, codes(response)) == (409, ["production_changed"])
        detail = response.json()["errors"][0]["detail"]
        assert detail.startswith("VGG16 2 is in production now, not the version that you saw.")
    for invalid in (0, -1, "x", 1.5, True, None, [1]):
        response = bob.post(path, {"leaving": invalid}, format="json")
        assert response.status_code == 400, invalid
        assert response.json()["errors"][0]["attr"] == "leaving"
    assert production_version() == versions[1]
    assert StageTransition.objects.count() == before
    response = bob.post(path, {}, format="json")
    assert (response.status_code, response.json()["id"]) == (200, production.pk)


@pytest.mark.django_db
def test_a_failed_gate_says_what_failed_and_how_to_override(bob, production, settings) -> None:
    settings.CHAMPIPY_TARGET_ACCURACY = 99.5
    successor = another_version(temperature=0.5)
    response = promote(bob, successor, reason="try")
    assert (response.status_code, codes(response)) == (409, ["gate_failed"])
    detail = response.json()["errors"][0]["detail"]
    assert f"target reached: {100 * production.metrics['evaluation']['accuracy']:.1f} %" in detail
    assert "the target is 99.5 %" in detail
    assert "`override` with a reason" in detail
    assert production_version() == production
    assert promote(bob, successor, reason="try", override=True).status_code == 200
    assert production_version() == successor


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(180)
def test_a_worker_evaluates_both_versions_before_the_gate_decides(bob, production, workers) -> None:
    for seed in range(740, 746):
        data = drawn_photo(seed)
        scores = score_image(production, decode_photo(data)).scores
        label, _ = Species.objects.get_or_create(name=production.labels[scores.index(max(scores))])
        photo_import(
            data=data,
            label=label,
            split=Photo.Split.EVALUATION,
            origin="",
            mushroom_observer_id=None,
        )
    evaluation_set_freeze(by=None, reason="test")
    successor = another_version(temperature=0.5)
    response = promote(bob, successor, reason="measured")
    assert (response.status_code, codes(response)) == (409, ["being_measured"])
    assert int(response.headers["Retry-After"]) > 0
    assert "of 12 done" in response.json()["errors"][0]["detail"]
    assert production_version() == production
    deadline = time.monotonic() + 120
    while response.status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.5)
        response = promote(bob, successor, reason="measured")
        assert response.status_code == 200 or codes(response) == ["being_measured"]
    assert production_version() == successor
    assert Evaluation.objects.count() == 2
    listed = bob.get("/api/v1/models").json()["results"]
    assert [version["metrics"]["measured"] for version in listed] == ["here", "here"]
    assert listed[0]["metrics"]["accuracy"] == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(180)
def test_predictions_continue_during_promotions_and_a_rollback(
    bob, alice, production, workers
) -> None:
    """Each answer names its version and has its scores; after a switch it is the new version."""
    versions = [production, *(another_version(temperature=value) for value in (0.3, 1.5))]
    switches = {8: versions[1], 16: versions[2], 24: versions[0], 32: None}
    in_production = production
    for number in range(40):
        if number in switches:
            target = switches[number]
            if target is None:
                response = bob.post("/api/v1/models/rollback", {}, format="json")
                in_production = versions[2]
            else:
                response = promote(bob, target, reason=f"number {number}")
                in_production = target
            assert response.status_code == 200, response.json()
        data = drawn_photo(760 + number % 5)
        response = alice.post(
            "/api/v1/predictions",
            {"file": SimpleUploadedFile("a.jpg", data), "nb_preds": 10},
            headers={"Prefer": "wait=30"},
        )
        assert response.status_code == 200, response.json()
        answer = response.json()
        assert answer["model"] == {"name": "VGG16", "version": in_production.version}
        expected = dict(
            zip(
                in_production.labels,
                score_image(in_production, decode_photo(data)).scores,
                strict=True,
            )
        )
        scores = {entry["species"]: entry["score"] for entry in answer["predictions"]}
        assert scores == pytest.approx(expected, abs=0.011)
    assert production_version() == versions[2]
