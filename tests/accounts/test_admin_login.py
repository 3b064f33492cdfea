"""The admin's login form: the same lock, rate limit and turns as the API's logins."""

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import backends
from accounts.api.throttling import LoginThrottle
from accounts.hashers import MAX_CHECKS
from accounts.models import User
from tests.support.api import client_of, error_of

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"


def log_in(client: Client, username: str, password: str):
    return client.post(LOGIN, {"username": username, "password": password})


def log_in_by_api(username: str, password: str):
    body = {"username": username, "password": password}
    return client_of(None).post("/api/v1/token", body, format="json")


def test_bob_logs_in_and_alice_does_not(users, client: Client) -> None:
    assert client.get(LOGIN).status_code == 200
    page = log_in(client, "alice", "wonderland")
    assert page.status_code == 200
    assert "staff account" in page.content.decode()
    assert AccessAttempt.objects.count() == 0, "the password was right"
    answer = client.post(
        f"{LOGIN}?next=/admin/accounts/user/", {"username": "bob", "password": "builder"}
    )
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/admin/accounts/user/"
    assert client.get("/admin/accounts/user/").status_code == 200
    assert User.objects.get(username="bob").last_login is not None
    assert AccessAttempt.objects.count() == 0


def test_form_and_api_share_the_lock(users, client: Client, settings) -> None:
    for _ in range(2):
        assert log_in(client, "bob", "wrong").status_code == 200
        assert log_in_by_api("bob", "wrong").status_code == 401
    locked = log_in(client, "bob", "wrong")
    assert locked.status_code == 429
    assert "Too many wrong passwords" in locked.content.decode()
    assert log_in(client, "bob", "builder").status_code == 429
    assert error_of(log_in_by_api("bob", "builder")) == (429, "login_locked")
    assert Session.objects.count() == 0
    assert log_in(client, "admin", "admin").status_code == 302


def test_form_and_api_share_the_rate_limit(users, client: Client, monkeypatch) -> None:
    monkeypatch.setitem(LoginThrottle.THROTTLE_RATES, "login", "6/min")
    with time_machine.travel("2030-01-01 12:00:10", tick=False):
        for number in range(5):
            assert log_in(client, f"nobody {number}", "wrong").status_code == 200
        assert log_in_by_api("alice", "wonderland").status_code == 200
        refused = log_in(client, "bob", "builder")
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "50"
        assert "Expected available in 50 seconds" in refused.content.decode()
        assert Session.objects.count() == 0
        assert error_of(log_in_by_api("alice", "wonderland")) == (429, "throttled")
        assert client.get(LOGIN).status_code == 200, "looking at the form is not limited"


def test_form_is_refused_while_all_turns_are_taken(users, client: Client) -> None:
    for _ in range(MAX_CHECKS):
        assert backends._turns.acquire(blocking=False)
    try:
        refused = log_in(client, "bob", "builder")
    finally:
        for _ in range(MAX_CHECKS):
            backends._turns.release()
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "3"
    assert "Try again in a few seconds" in refused.content.decode()
    assert Session.objects.count() == AccessAttempt.objects.count() == 0
    assert log_in(client, "bob", "builder").status_code == 302
