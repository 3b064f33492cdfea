"""The login page of verifiers, logging out, and the choice of a language."""

import pytest
from django.test import Client

from accounts.models import User

pytestmark = pytest.mark.django_db


def log_in(client: Client, next_page: str = ""):
    login = {"username": "alice", "password": "wonderland", "next": next_page}
    return client.post("/login", login)


def test_alice_logs_in_and_out(users, client: Client) -> None:
    first = client.get("/queue")
    assert (first.status_code, first.headers["Location"]) == (302, "/login?next=/queue")
    assert log_in(client, "/queue").headers["Location"] == "/queue"
    assert "Log out alice" in client.get("/").content.decode()
    assert client.get("/logout").status_code == 405, "a link of another site must log nobody out"
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/").status_code == 302


def test_login_leads_to_no_other_site(users, client: Client) -> None:
    assert log_in(client, "https://example.org/").headers["Location"] == "/"


def test_wrong_passwords_lock_the_page(users, client: Client, settings) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        page = client.post("/login", {"username": "alice", "password": "wrong"})
        assert page.status_code == 200
    for password in ("wrong", "wonderland"):
        locked = client.post("/login", {"username": "alice", "password": password})
        assert locked.status_code == 429
        assert "Too many wrong passwords" in locked.content.decode()


def test_language_follows_the_browser_the_cookie_and_the_user(users, client: Client) -> None:
    assert '<html lang="fr">' in client.get("/login", headers={"accept-language": "fr"}).text
    chosen = client.post("/language", {"language": "fr", "next": "/login"})
    assert chosen.headers["Location"] == "/login"
    assert '<html lang="fr">' in client.get("/login").text
    log_in(client)
    client.post("/language", {"language": "fr"})
    assert User.objects.get(username="alice").language == "fr"
    elsewhere = Client()
    log_in(elsewhere)
    assert '<html lang="fr">' in elsewhere.get("/").text


@pytest.mark.parametrize("language", ["", "xx", "fr-ca'"])
def test_unknown_language_is_refused(users, client: Client, language: str) -> None:
    assert client.post("/language", {"language": language}).status_code == 400
    assert not client.cookies.get("django_language")


@pytest.mark.parametrize("back", ["https://example.org/", "//example.org/", "javascript:alert(1)"])
def test_choice_of_a_language_leads_to_no_other_site(users, client: Client, back: str) -> None:
    answer = client.post("/language", {"language": "fr", "next": back})
    assert answer.headers["Location"] == "/"
    assert client.get("/language").status_code == 405


def test_forms_need_the_token_of_their_page(users) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert log_in(strict).status_code == 403
    assert strict.post("/language", {"language": "fr"}).status_code == 403


def test_pages_forbid_inline_scripts_and_styles(client: Client) -> None:
    policy = client.get("/login").headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


def test_each_language_is_offered_in_its_own_words(users, client: Client) -> None:
    for language, other in (("fr", "English"), ("en", "Français")):
        page = client.get("/login", headers={"accept-language": language}).text
        assert f">{other}</button>" in page
