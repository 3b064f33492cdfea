"""A new password and a deactivation revoke the tokens, whichever way they come about."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from knox.models import get_token_model
from rest_framework.test import APIClient

from accounts.hashers import Argon2Hasher
from accounts.models import User
from tests.support.api import client_of, error_of

pytestmark = pytest.mark.django_db


def assert_revoked(alice: APIClient, bob: APIClient) -> None:
    assert alice.get("/api/v1/user").status_code == 401
    assert not get_token_model().objects.filter(user__username="alice").exists()
    assert bob.get("/api/v1/user").status_code == 200, "other people's tokens stay"


def admin_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_password_set_in_the_admin_revokes(users, alice, bob) -> None:
    answer = admin_of(users["bob"]).post(
        f"/admin/accounts/user/{users['alice'].pk}/password/",
        {"password1": "a new one 4711", "password2": "a new one 4711", "usable_password": "true"},
    )
    assert answer.status_code == 302
    assert User.objects.get(username="alice").check_password("a new one 4711")
    assert_revoked(alice, bob)


def test_password_disabled_in_the_admin_revokes(users, alice, bob) -> None:
    answer = admin_of(users["bob"]).post(
        f"/admin/accounts/user/{users['alice'].pk}/password/",
        {"usable_password": "false", "unset-password": "yes"},
    )
    assert answer.status_code == 302
    assert not User.objects.get(username="alice").has_usable_password()
    assert_revoked(alice, bob)


def test_own_password_changed_in_the_admin_revokes(users, alice, bob) -> None:
    answer = admin_of(users["bob"]).post(
        "/admin/password_change/",
        {
            "old_password": "builder",
            "new_password1": "a new one 4711",
            "new_password2": "a new one 4711",
        },
    )
    assert answer.status_code == 302
    assert bob.get("/api/v1/user").status_code == 401
    assert alice.get("/api/v1/user").status_code == 200


def test_changepassword_revokes(users, alice, bob, monkeypatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "a new one 4711")
    call_command("changepassword", "alice", stdout=io.StringIO())
    assert User.objects.get(username="alice").check_password("a new one 4711")
    assert_revoked(alice, bob)


def test_deactivation_in_the_admin_revokes_for_good(users, alice, bob) -> None:
    page = f"/admin/accounts/user/{users['alice'].pk}/change/"
    fields = {
        "username": "alice",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "12:00:00",
    }
    admin = admin_of(users["bob"])
    assert admin.post(page, fields).status_code == 302
    assert not User.objects.get(username="alice").is_active
    assert_revoked(alice, bob)
    assert admin.post(page, fields | {"is_active": "on"}).status_code == 302
    assert User.objects.get(username="alice").is_active
    assert_revoked(alice, bob)


def test_other_changes_of_a_user_keep_the_tokens(users, alice) -> None:
    users["alice"].email = "alice@example.org"
    users["alice"].save()
    assert User.objects.get(username="alice").check_password("wonderland")
    assert alice.get("/api/v1/user").status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["password", "deactivation"])
def test_change_during_a_login_leaves_no_token(users, monkeypatch, change: str) -> None:
    verified, changed = threading.Event(), threading.Event()
    verify = Argon2Hasher.verify

    def verify_and_wait(self: Argon2Hasher, password: str, encoded: str) -> bool:
        result = verify(self, password, encoded)
        verified.set()
        changed.wait(30)
        return result

    def log_in() -> tuple[int, str]:
        try:
            body = {"username": "alice", "password": "wonderland"}
            return error_of(client_of(None).post("/api/v1/token", body, format="json"))
        finally:
            connection.close()

    monkeypatch.setattr(Argon2Hasher, "verify", verify_and_wait)
    with ThreadPoolExecutor(1) as pool:
        login = pool.submit(log_in)
        assert verified.wait(30)
        with transaction.atomic():
            if change == "password":
                users["alice"].set_password("a new one 4711")
            else:
                users["alice"].is_active = False
            users["alice"].save()
        changed.set()
        assert login.result() == (401, "authentication_failed")
    assert get_token_model().objects.count() == 0
