"""Headers and forms of the API's answers: ids, caching, compression, CORS, problem details."""

import gzip
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.test import APIClient

from accounts.models import User
from common.request_id import accepted_or_new, request_id
from predictions import dispatch
from predictions.dispatch import FETCH_TASK
from predictions.models import Prediction
from predictions.recovery_services import predictions_resend
from tests.support.api import PREDICTIONS, error_of, post_photo, post_url
from tests.support.paths import PROJECT
from tests.support.photos import drawn_photo
from tests.support.stack import eventually

pytestmark = pytest.mark.django_db

PROBLEM = "application/problem+json"
NO_WAIT = {"Prefer": "respond-async"}


# --- X-Request-Id --------------------------------------------------------------------------------
def test_a_request_keeps_its_id_or_gets_one(alice: APIClient) -> None:
    named = alice.get("/api/v1/user", headers={"X-Request-Id": "from-my-script:7"})
    assert named.headers["X-Request-Id"] == "from-my-script:7"
    made = {alice.get("/api/v1/user").headers["X-Request-Id"] for _ in range(2)}
    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)
    assert "X-Request-Id" in alice.get("/api/v1/nonsense").headers


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "x" * 129, "é", "{0}", "[x]"])
def test_an_id_that_could_forge_a_log_is_replaced(text: str) -> None:
    assert accepted_or_new(text) != text


@pytest.mark.django_db(transaction=True)
def test_the_workers_logs_name_the_request(
    alice: APIClient, workers, photo_server, production, settings
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    body = json.dumps({"file": f"http://{photo_server.address}/drawn.jpg?manners"})
    answer = alice.post(
        PREDICTIONS,
        body,
        content_type="application/json",
        headers={"X-Request-Id": "find-me-in-the-log"},
    )
    assert answer.status_code == 200
    pk = answer.json()["id"]
    fetched = {"request_id": "find-me-in-the-log", "task": FETCH_TASK, "outcome": "success"}
    assert eventually(lambda: is_logged("fetch", **fetched), 10)
    assert eventually(lambda: is_answered(pk, "find-me-in-the-log"), 10)


def log_lines(worker: str) -> list[dict]:
    log = Path(configured.CHAMPIPY_HOME) / "log" / f"test-{worker}.log"
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def is_answered(pk: int, request: str) -> bool:
    """Return whether a worker logged, for this request, that it answered the prediction."""
    told = re.compile(rf"prediction {pk} \(done\) in [0-9]+ ms")
    lines = log_lines("fetch") + log_lines("inference")
    return [each.get("request_id") for each in lines if told.fullmatch(each["message"])] == [
        request
    ]


def is_logged(worker: str, **fields: str) -> bool:
    return any(fields.items() <= line.items() for line in log_lines(worker))


def test_each_request_has_a_line_where_logs_are_json(alice: APIClient, caplog) -> None:
    caplog.set_level(logging.INFO, "champipy_site.requests")
    alice.get(f"{PREDICTIONS}?status=failed", headers={"X-Request-Id": "mine"})
    [record] = [each for each in caplog.records if each.name == "champipy_site.requests"]
    assert record.fields.pop("duration_ms") > 0
    named = {"method": "GET", "view": "prediction-list", "status": "200", "path": PREDICTIONS}
    assert record.fields == named
    assert "failed" not in record.getMessage()


@pytest.mark.django_db(transaction=True)
def test_a_prediction_that_is_sent_again_names_the_request_that_made_it(
    alice: APIClient, workers, photo_server, production, settings, monkeypatch
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    body = json.dumps({"file": f"http://{photo_server.address}/drawn.jpg?again"})
    headers = {"X-Request-Id": "lost-on-the-way", "Prefer": "respond-async"}
    with monkeypatch.context() as broker:
        broker.setattr(dispatch, "send_task", lambda *_, **__: True)  # it loses the message
        answer = alice.post(PREDICTIONS, body, content_type="application/json", headers=headers)
    assert answer.status_code == 202
    pk = answer.json()["id"]
    assert Prediction.objects.get(pk=pk).request_id == "lost-on-the-way"
    Prediction.objects.update(next_send_at=timezone.now())
    token = request_id.set("of-somebody-else")
    try:
        assert predictions_resend() == 1
    finally:
        request_id.reset(token)
    assert eventually(lambda: is_answered(pk, "lost-on-the-way"), 20)
    assert not is_logged("inference", request_id="of-somebody-else")


# --- caching and compression ---------------------------------------------------------------------
def test_what_is_somebodys_is_stored_by_nobody(alice: APIClient, nobody: APIClient, users) -> None:
    somebodys = "private, no-store"
    for path in ("/api/v1/user", PREDICTIONS, f"{PREDICTIONS}/9", "/api/v1/usage"):
        assert alice.get(path).headers["Cache-Control"] == somebodys
    login = {"username": "alice", "password": "wonderland"}
    token = nobody.post("/api/v1/token", login, format="json")
    assert token.headers["Cache-Control"] == somebodys
    assert "Cache-Control" not in nobody.get("/api/v1/status").headers


def test_long_answers_are_compressed_and_tokens_are_not(
    alice: APIClient, nobody: APIClient, users
) -> None:
    Prediction.objects.bulk_create(
        Prediction(
            user=users["alice"], file=f"{n}.jpg", is_upload=True, status="failed", error_code="x"
        )
        for n in range(50)
    )
    plain = alice.get(PREDICTIONS)
    packed = alice.get(PREDICTIONS, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.content)) == plain.json()
    assert len(packed.content) < len(plain.content) / 5
    assert "Accept-Encoding" in packed.headers["Vary"]
    login = {"username": "alice", "password": "wonderland"}
    headers = {"Accept-Encoding": "gzip"}
    assert "Content-Encoding" not in nobody.post("/api/v1/token", login, headers=headers).headers
    assert "Content-Encoding" not in nobody.get("/admin/login/", headers=headers).headers


def test_an_unchanged_schema_is_not_sent_again(nobody: APIClient) -> None:
    first = nobody.get("/api/v1/schema", headers={"Accept-Encoding": "gzip"})
    tag = first.headers["ETag"]
    again = nobody.get("/api/v1/schema", headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


# --- Authorization ------------------------------------------------------------------------------
def test_bearer_is_as_good_as_token(nobody: APIClient, users: dict[str, User]) -> None:
    _, token = get_token_model().objects.create(user=users["alice"])
    for scheme in ("Bearer", "bearer", "Token"):
        answer = nobody.get("/api/v1/user", headers={"Authorization": f"{scheme} {token}"})
        assert answer.json()["username"] == "alice"
    for wrong in ("Bearer", "Bearer ", "Bearer a b", f"Basic {token}", token, "Bearer \xff"):
        answer = nobody.get("/api/v1/user", headers={"Authorization": wrong})
        assert answer.status_code == 401


# --- problem details ----------------------------------------------------------------------------
@pytest.mark.parametrize("accept", [PROBLEM, f"application/json, {PROBLEM};q=0.9"])
def test_errors_are_problem_details_for_who_asks_for_them(
    alice: APIClient, nobody: APIClient, accept: str
) -> None:
    answer = post_url_accepting(alice, accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    problem = json.loads(answer.content)
    assert problem["status"] == 400
    assert problem["title"] == "Bad Request"
    assert problem["type"] == "about:blank"
    assert problem["errors"] == [{"code": "blank", "detail": "The URL is empty.", "attr": "file"}]
    assert (problem["detail"], problem["code"]) == ("The URL is empty.", "blank")
    stated = nobody.get("/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    schema = stated.data["components"]["schemas"]["Problem"]
    assert set(problem) == set(schema["properties"]) == set(schema["required"])
    for path in ("/api/v1/nonsense", "/api/v1/user?x=1"):
        missing = alice.get(path, headers={"Accept": accept})
        assert missing.headers["Content-Type"] == PROBLEM


def post_url_accepting(client: APIClient, accept: str):
    return client.post(PREDICTIONS, {"file": ""}, format="json", headers={"Accept": accept})


@pytest.mark.parametrize("accept", ["application/json", "*/*", f"{PROBLEM};q=0, */*"])
def test_errors_stay_as_they_are_for_others(alice: APIClient, accept: str) -> None:
    assert error_of(post_url_accepting(alice, accept)) == (400, "blank")


def test_who_accepts_problem_details_gets_answers_in_json(alice: APIClient) -> None:
    answer = alice.get("/api/v1/user", headers={"Accept": PROBLEM})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


# --- quotas -------------------------------------------------------------------------------------
@pytest.mark.usefixtures("production", "lost_messages")
def test_usage_tells_what_is_used_and_left(alice: APIClient, bob: APIClient, settings) -> None:
    settings.CHAMPIPY_DAILY_PREDICTIONS = 10
    alice.post(
        PREDICTIONS, {"file": "https://photos.example.com/a.jpg"}, format="json", headers=NO_WAIT
    )
    data = drawn_photo(98)
    second = post_photo(alice, data, NO_WAIT)
    assert second.headers["RateLimit-Policy"] == '"day";q=10;w=86400'
    assert re.fullmatch(r'"day";r=8;t=[0-9]+', second.headers["RateLimit"])
    usage = alice.get("/api/v1/usage").json()
    assert usage["predictions"] == {"today": 2, "this_month": 2, "limit": 10, "left": 8}
    assert usage["new_photo_bytes"]["today"] == len(data)
    assert usage["new_photo_bytes"]["left"] == 5_000_000_000 - len(data)
    assert usage["resets_at"].endswith("T00:00:00Z")
    assert bob.get("/api/v1/usage").json()["predictions"] == {
        "today": 0,
        "this_month": 0,
        "limit": 100,
        "left": 100,
    }


@pytest.mark.usefixtures("production", "lost_messages")
def test_a_refusal_tells_that_nothing_is_left(alice: APIClient, settings) -> None:
    settings.CHAMPIPY_DAILY_PREDICTIONS = 0
    refused = post_url(alice, "https://photos.example.com/a.jpg")
    assert error_of(refused) == (429, "quota_exceeded")
    assert refused.headers["RateLimit"].startswith('"day";r=0;')


def test_requests_without_a_user_have_no_rate_limit_header(nobody: APIClient) -> None:
    answer = post_url(nobody, "https://photos.example.com/a.jpg")
    assert answer.status_code == 401
    assert "RateLimit" not in answer.headers


def test_usage_is_unavailable_without_valkey(alice: APIClient, settings, monkeypatch) -> None:
    monkeypatch.setattr("predictions.quotas.valkey_client", unreachable)
    assert error_of(alice.get("/api/v1/usage")) == (503, "usage_unavailable")


def unreachable():
    import redis

    return redis.Redis(port=1)


# --- CORS ---------------------------------------------------------------------------------------
CALL = """
import django
django.setup()
from django.test import Client
from django.core.management import call_command
call_command("check", "--tag", "security")
calls = [("options", "/api/v1/predictions"), ("get", "/api/v1/status"), ("get", "/admin/")]
for method, path in calls:
    answer = getattr(Client(), method)(
        path,
        headers={
            "Origin": "https://verify.example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        },
    )
    print(method, path, answer.headers.get("Access-Control-Allow-Origin"),
          answer.headers.get("Access-Control-Allow-Headers"))
"""


@pytest.mark.parametrize("origins", ["", "https://verify.example.org"])
def test_pages_of_other_sites_may_call_the_api_where_the_setting_says_so(
    origins: str, tmp_path: Path
) -> None:
    environment = os.environ | {
        "CORS_ALLOWED_ORIGINS": origins,
        "CHAMPIPY_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "champipy_site.settings",
        "ALLOWED_HOSTS": "testserver",
    }
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-3:]
    if not origins:
        assert lines == [
            "options /api/v1/predictions None None",
            "get /api/v1/status None None",
            "get /admin/ None None",
        ]
    else:
        assert lines[0].startswith("options /api/v1/predictions https://verify.example.org accept")
        assert "idempotency-key" in lines[0]
        assert lines[1:] == [
            "get /api/v1/status https://verify.example.org None",
            "get /admin/ None None",
        ]
