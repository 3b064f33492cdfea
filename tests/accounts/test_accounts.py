"""Logins, tokens, the lockout and the published passwords."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.test import APIClient

from accounts.checks import production_settings, published_passwords
from accounts.models import User
from accounts.services import PUBLISHED_PASSWORDS, expired_tokens_delete, logins_seed

pytestmark = pytest.mark.django_db


def log_in(client: APIClient, username: str, password: str):
    return client.post("/api/v1/token", {"username": username, "password": password}, format="json")


def test_seeded_logins_have_their_roles_and_argon2(users: dict[str, User]) -> None:
    assert {name for name, user in users.items() if user.is_admin} == {"bob", "admin"}
    assert set(users) == set(PUBLISHED_PASSWORDS)
    for name, user in users.items():
        assert user.password.startswith("argon2$")
        assert user.check_password(PUBLISHED_PASSWORDS[name])


def test_seeding_again_keeps_a_changed_password(users: dict[str, User]) -> None:
    users["alice"].set_password("another one")
    users["alice"].save()
    assert logins_seed() == []
    assert User.objects.get(username="alice").check_password("another one")


def test_a_deleted_login_does_not_come_back(users: dict[str, User]) -> None:
    users["clementine"].delete()
    assert logins_seed() == []
    assert set(User.objects.values_list("username", flat=True)) == {"alice", "bob", "admin"}


def test_nothing_is_seeded_where_there_is_a_user(db: None, capsys) -> None:
    User.objects.create_user("zoe", password="her own 4711")
    call_command("seed_logins")
    assert capsys.readouterr().out == "There are users already, so no login was created.\n"
    assert [user.username for user in User.objects.all()] == ["zoe"]


def test_a_login_gives_a_token_that_is_stored_hashed(users, nobody: APIClient) -> None:
    response = log_in(nobody, "alice", "wonderland")
    assert response.status_code == 200
    assert set(response.json()) == {"token", "expiry"}
    token = response.json()["token"]
    stored = get_token_model().objects.get()
    assert token not in (stored.digest, stored.token_key)
    nobody.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert nobody.get("/api/v1/user").json() == {"username": "alice", "is_admin": False}


def test_an_invalid_token_does_not_prevent_a_login(users, nobody: APIClient) -> None:
    nobody.credentials(HTTP_AUTHORIZATION="Token nonsense")
    assert log_in(nobody, "alice", "wonderland").status_code == 200


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "builder"), ("nobody", "wonderland"), ("alice", "WONDERLAND"), ("alice", "w\x00")],
)
def test_a_failed_login_does_not_say_what_was_wrong(users, nobody, username, password) -> None:
    response = log_in(nobody, username, password)
    assert response.status_code in (400, 401)
    if response.status_code == 401:
        assert response.json()["errors"][0]["detail"] == "Wrong name or password."
    assert get_token_model().objects.count() == 0


@pytest.mark.parametrize("body", [{}, {"username": "alice"}, {"username": [], "password": {}}])
def test_an_incomplete_login_is_a_400(users, nobody: APIClient, body: dict) -> None:
    response = nobody.post("/api/v1/token", body, format="json")
    assert response.status_code == 400
    assert response.json()["type"] == "validation_error"


def test_five_wrong_passwords_lock_the_login_for_a_while(users, nobody, settings) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT):
        assert log_in(nobody, "alice", "wrong").status_code in (401, 429)
    locked = log_in(nobody, "alice", "wonderland")
    assert locked.status_code == 429
    assert locked.json()["errors"][0]["code"] == "login_locked"
    assert log_in(nobody, "bob", "builder").status_code == 200, "only alice's name is locked"
    with time_machine.travel(timezone.now() + settings.AXES_COOLOFF_TIME + timedelta(minutes=1)):
        assert log_in(nobody, "alice", "wonderland").status_code == 200


def test_logins_are_rate_limited(users, nobody: APIClient) -> None:
    with time_machine.travel("2030-01-01 12:00:10", tick=False):
        codes = [log_in(nobody, "alice", "wonderland").status_code for _ in range(121)]
    assert codes == [200] * 120 + [429]


def test_a_token_can_be_revoked(alice: APIClient) -> None:
    assert alice.delete("/api/v1/token").status_code == 204
    assert alice.get("/api/v1/user").status_code == 401


def test_a_token_expires(alice: APIClient, settings) -> None:
    later = timezone.now() + settings.REST_KNOX["TOKEN_TTL"] + timedelta(seconds=1)
    with time_machine.travel(later):
        assert alice.get("/api/v1/user").status_code == 401
        assert expired_tokens_delete() == 1
    assert get_token_model().objects.count() == 0


def test_the_deploy_check_refuses_the_published_passwords(users, settings) -> None:
    settings.DEBUG = False
    [error] = published_passwords(None)
    assert error.id == "champipy.E001"
    assert "admin, alice, bob, clementine" in error.msg
    for user in users.values():
        user.set_password("its own")
        user.save()
    assert published_passwords(None) == []


def test_the_deploy_check_refuses_debug(settings) -> None:
    settings.DEBUG = True
    assert "champipy.E002" in {message.id for message in production_settings(None)}


def test_bob_sees_the_users_in_the_admin_and_alice_does_not(users, client) -> None:
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/admin/accounts/user/")
    assert page.status_code == 200
    assert b"clementine" in page.content
    client.force_login(users["alice"], backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/admin/accounts/user/").status_code == 302


@pytest.mark.parametrize(("proxies", "second_client"), [(0, 429), (1, 200)])
def test_the_lock_uses_the_client_address_from_trusted_proxies(
    users, nobody, settings, proxies: int, second_client: int
) -> None:
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": proxies}
    guesser = {"HTTP_X_FORWARDED_FOR": "198.51.100.7, 198.51.100.8"}
    for number in range(settings.AXES_FAILURE_LIMIT + 1):
        # Entries that the client itself adds change nothing.
        guesser["HTTP_X_FORWARDED_FOR"] = f"198.51.100.{number}, 198.51.100.8"
        nobody.credentials(**guesser)
        log_in(nobody, "alice", "wrong")
    assert log_in(nobody, "alice", "wonderland").status_code == 429
    nobody.credentials(HTTP_X_FORWARDED_FOR="198.51.100.9")
    assert log_in(nobody, "alice", "wonderland").status_code == second_client
