"""The page on which a user changes password, tokens, key and language."""

import re

import pytest
from django.test import Client

from accounts.api.throttling import LoginThrottle
from accounts.models import Token, User
from observations.models import MushroomObserverKey
from tests.support.api import client_of
from tests.support.mushroom_observer.content import API_KEYS

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = "/account/tokens"


def new_token(client: Client, name: str = "at home") -> str:
    answer = client.post(PREFIX, {"name": name})
    assert answer.status_code == 200, answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    shown = re.search(r'id="new-token" readonly value="(\w+)"', answer.text)
    assert shown
    return shown[1]


def test_a_token_is_shown_once_and_revoked(page) -> None:
    token = new_token(page)
    api = client_of(None)
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert api.get("/api/v1/user").json()["username"] == "alice"
    shown = page.get("/account").text
    assert token not in shown
    assert "at home" in shown
    [stored] = Token.objects.all()
    assert page.post(f"{PREFIX}/{stored.pk}/revoke").status_code == 302
    assert api.get("/api/v1/user").status_code == 401
    assert page.post(f"{PREFIX}/{stored.pk}/revoke").status_code == 404


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\u202eb", "a\x00b"])
def test_a_token_needs_a_name(page, name) -> None:
    answer = page.post(PREFIX, {"name": name})
    assert answer.status_code == 400
    assert "Give the token a name" in answer.text
    assert Token.objects.count() == 0


def test_tokens_of_others_are_not_revoked(page, admin) -> None:
    new_token(admin)
    [stored] = Token.objects.all()
    assert page.post(f"{PREFIX}/{stored.pk}/revoke").status_code == 404
    assert Token.objects.count() == 1


def test_a_new_password_needs_the_old_one(page, users) -> None:
    new_token(page)
    new = {"new_password1": "chanterelle 7", "new_password2": "chanterelle 7"}
    wrong = page.post("/account/password", {"old_password": "guess", **new})
    assert wrong.status_code == 400
    assert "entered incorrectly" in wrong.text
    assert User.objects.get(username="alice").check_password("wonderland")
    elsewhere = Client()
    elsewhere.force_login(users["alice"], backend="accounts.backends.PasswordBackend")
    done = page.post("/account/password", {"old_password": "wonderland", **new}, follow=True)
    assert "Your password is changed" in done.text
    assert User.objects.get(username="alice").check_password("chanterelle 7")
    assert page.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 302
    assert Token.objects.count() == 0


def test_passwords_are_guessed_no_faster_than_at_the_login(page, monkeypatch) -> None:
    monkeypatch.setitem(LoginThrottle.THROTTLE_RATES, "login", "1/min")
    guess = {"old_password": "guess", "new_password1": "a", "new_password2": "a"}
    assert page.post("/account/password", guess).status_code == 400
    refused = page.post("/account/password", guess)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= 60


def test_a_key_is_checked_and_deleted(page, mushroom_observer, messages_at_once) -> None:
    key = API_KEYS["verifier"]
    done = page.post("/account/key", {"key": f" {key} "}, follow=True)
    assert "Your key is valid" in done.text
    assert key not in done.text
    page.post("/account/key/delete")
    assert MushroomObserverKey.objects.count() == 0


def test_a_refused_key_is_told_and_not_kept(page, mushroom_observer, messages_at_once) -> None:
    refused = page.post("/account/key", {"key": "x" * 32})
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert MushroomObserverKey.objects.get().ciphertext == ""


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 201])
def test_what_is_no_key_is_refused(page, key) -> None:
    assert page.post("/account/key", {"key": key}).status_code == 400
    assert MushroomObserverKey.objects.count() == 0


def test_forms_need_the_token_of_their_page(users) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(users["alice"], backend="accounts.backends.PasswordBackend")
    for path in ("password", "tokens", "key", "key/delete"):
        assert strict.post(f"/account/{path}", {"name": "x", "key": "x"}).status_code == 403
    assert Token.objects.count() == MushroomObserverKey.objects.count() == 0


def test_usage_is_told(page) -> None:
    assert "0 photos asked about today" in page.get("/account").text
