"""Tests access to every endpoint for nobody, alice (user) and bob (administrator)."""

import pytest
import time_machine
from rest_framework.test import APIClient

from accounts.api.throttling import PredictionThrottle
from accounts.models import User
from mlmodels.models import StageTransition, TrainingRun
from predictions.models import Prediction
from tests.support.api import client_of

pytestmark = pytest.mark.django_db

OPEN = {
    ("GET", "/api/v1/status"): 200,
    ("GET", "/api/v1/dbconnex"): 200,
    ("GET", "/api/v1/schema"): 200,
    ("GET", "/api/v1/docs"): 200,
    ("GET", "/api/v1/species"): 200,
    ("POST", "/api/v1/token"): 400,  # open to all, but this request is empty
    ("GET", "/api/v1/nonsense"): 404,
    ("GET", "/champipy.user.js"): 200,
}
FOR_USERS = {
    ("GET", "/api/v1/user"): 200,
    ("GET", "/api/v1/usage"): 200,
    ("GET", "/api/v1/predictions"): 200,
    ("GET", "/api/v1/predictions/999999"): 404,
    ("GET", "/api/v1/predictions/999999/photo"): 404,
    ("GET", "/api/v1/predictions/999999/explanation"): 404,
    ("GET", "/api/v1/predictions/999999/similar"): 404,
    ("GET", "/api/v1/photos/999999"): 404,
    ("DELETE", "/api/v1/predictions/999999"): 404,
    ("POST", "/api/v1/predictions"): 400,
    ("POST", "/api/v1/predictions/batch"): 400,
    ("POST", "/api/v1/predictions/999999/feedback"): 400,
    ("GET", "/api/v1/observations"): 200,
    ("POST", "/api/v1/observations"): 400,
    ("GET", "/api/v1/observations/999999"): 404,
    ("PATCH", "/api/v1/observations/999999"): 404,
    ("DELETE", "/api/v1/observations/999999"): 404,
    ("POST", "/api/v1/observations/queue/next"): 204,
    ("POST", "/api/v1/observations/999999/release"): 404,
    ("POST", "/api/v1/observations/999999/mushroom-observer/votes"): 404,
    ("POST", "/api/v1/observations/999999/mushroom-observer/namings"): 404,
    ("GET", "/api/v1/observations/999999/mushroom-observer/comment"): 404,
    ("POST", "/api/v1/observations/999999/mushroom-observer/comment"): 404,
    ("GET", "/api/v1/mushroom-observer-key"): 200,
    ("PUT", "/api/v1/mushroom-observer-key"): 400,
    ("DELETE", "/api/v1/mushroom-observer-key"): 204,
    ("GET", "/api/v1/mushroom-observer-writes"): 200,
    ("GET", "/api/v1/mushroom-observer-writes/999999"): 404,
    ("DELETE", "/api/v1/token"): 204,
}
FOR_ADMINISTRATORS = {
    ("GET", "/api/v1/accuracy"): 503,  # no model is in production in these tests
    ("GET", "/api/v1/past_pred_acc"): 200,
    ("GET", "/api/v1/nb_new_img"): 404,
    ("POST", "/api/v1/train"): 409,  # too few photos
    ("POST", "/api/v1/finetune"): 400,
    ("POST", "/api/v1/search"): 409,
    ("GET", "/api/v1/runs"): 200,
    ("GET", "/api/v1/runs/composition"): 409,  # no photos
    ("GET", "/api/v1/runs/999999"): 404,
    ("POST", "/api/v1/runs/999999/cancel"): 404,
    ("GET", "/api/v1/models"): 200,
    ("POST", "/api/v1/models/999999/promote"): 404,
    ("POST", "/api/v1/models/rollback"): 409,
    ("GET", "/api/v1/alerts"): 200,
    ("POST", "/api/v1/alerts/999999/acknowledge"): 404,
}


def test_lists_contain_every_endpoint(nobody: APIClient) -> None:
    headers = {"Accept": "application/vnd.oai.openapi+json"}
    paths = nobody.get("/api/v1/schema", headers=headers).data["paths"]
    documented = {(verb.upper(), path) for path, verbs in paths.items() for verb in verbs}
    listed = {
        (verb, path.replace("999999", "{id}"))
        for calls in (OPEN, FOR_USERS, FOR_ADMINISTRATORS)
        for verb, path in calls
    }
    assert documented <= listed


@pytest.mark.parametrize(("call", "expected"), OPEN.items(), ids=str)
@pytest.mark.parametrize("who", ["nobody", "alice", "bob"])
def test_open_endpoint_answers_everybody(request, who: str, call, expected: int) -> None:
    client: APIClient = request.getfixturevalue(who)
    method, path = call
    assert client.generic(method, path).status_code == expected


@pytest.mark.parametrize(("call", "expected"), FOR_USERS.items(), ids=str)
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_user_endpoint_answers_users(request, who: str, call, expected: int) -> None:
    client: APIClient = request.getfixturevalue(who)
    method, path = call
    assert client.generic(method, path).status_code == expected


@pytest.mark.parametrize("call", FOR_USERS, ids=str)
@pytest.mark.parametrize("token", [None, "Token nonsense", "Bearer x", "Token a b", "Token \xff"])
def test_user_endpoint_refuses_requests_without_a_valid_token(
    nobody: APIClient, token, call
) -> None:
    if token is not None:
        nobody.credentials(HTTP_AUTHORIZATION=token)
    method, path = call
    response = nobody.generic(method, path)
    assert response.status_code == 401
    assert response.json()["type"] == "client_error"
    assert response.headers["WWW-Authenticate"] == "Token"
    assert Prediction.objects.count() == 0


@pytest.mark.parametrize(("call", "expected"), FOR_ADMINISTRATORS.items(), ids=str)
def test_administrator_endpoint_answers_bob(bob: APIClient, call, expected: int) -> None:
    method, path = call
    assert bob.generic(method, path).status_code == expected


@pytest.mark.parametrize("call", FOR_ADMINISTRATORS, ids=str)
@pytest.mark.parametrize(("who", "expected"), [("nobody", 401), ("alice", 403)])
def test_administrator_endpoint_refuses_others(request, who, expected, call) -> None:
    client: APIClient = request.getfixturevalue(who)
    method, path = call
    assert client.generic(method, path).status_code == expected
    assert TrainingRun.objects.count() == StageTransition.objects.count() == 0


def test_alice_sees_only_her_predictions_and_bob_sees_all(alice, bob, users) -> None:
    failed = {"status": "failed", "error_code": "not_an_image", "is_upload": True}
    hers = Prediction.objects.create(user=users["alice"], file="a.jpg", **failed)
    other = Prediction.objects.create(user=users["clementine"], file="b.jpg", **failed)
    assert [row["id"] for row in alice.get("/api/v1/predictions").json()["results"]] == [hers.pk]
    assert [row["id"] for row in bob.get("/api/v1/predictions").json()["results"]] == [
        other.pk,
        hers.pk,
    ]
    assert alice.get(f"/api/v1/predictions/{other.pk}").status_code == 404
    assert alice.delete(f"/api/v1/predictions/{other.pk}").status_code == 404
    assert alice.get(f"/api/v1/predictions/{other.pk}/photo").status_code == 404
    assert alice.get(f"/api/v1/predictions/{other.pk}/similar").status_code == 404
    assert bob.get(f"/api/v1/predictions/{other.pk}").status_code == 200


def test_deactivated_user_is_refused(alice: APIClient, users) -> None:
    users["alice"].is_active = False
    users["alice"].save()
    assert alice.get("/api/v1/user").status_code == 401


def test_rate_of_predictions_is_limited_per_user(alice, bob, monkeypatch) -> None:
    monkeypatch.setattr(PredictionThrottle, "rate", "3/min", raising=False)
    with time_machine.travel("2030-01-01 12:00:10", tick=False):
        # Older tokens have expired at this time, so make new ones.
        clients = [client_of(User.objects.get(username=name)) for name in ("alice", "bob")]
        codes = [clients[0].post("/api/v1/predictions").status_code for _ in range(4)]
        assert codes == [400, 400, 400, 429]
        assert clients[0].get("/api/v1/predictions").status_code == 200
        assert clients[1].post("/api/v1/predictions").status_code == 400
        limited = clients[0].post("/api/v1/predictions")
    assert limited.headers["Retry-After"] == "50"
