"""The admin's pages of people: what they use, and their tokens."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.test import APIClient

from accounts.models import Token, User
from accounts.services import user_token_create
from mlmodels.models import ModelVersion
from observations.models import Observation
from predictions.models import Photo, Prediction
from predictions.quotas import quota_take
from supervision.review.services import photo_exclude
from tests.support.api import client_of
from tests.support.rows import answered_prediction, version_row
from tests.support.spreadsheets import csv_rows

pytestmark = pytest.mark.django_db
USERS = "/admin/accounts/user/"
TOKENS = "/admin/accounts/token/"


@pytest.fixture
def version() -> ModelVersion:
    return version_row()


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of a list's rows by their first text."""
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.S):
        cells = [
            re.sub("<[^>]+>", "", cell).strip()
            for cell in re.findall(r"<t[hd][^>]*class=\"field-[^>]*>(.*?)</t[hd]>", row, re.S)
        ]
        if cells:
            found[cells[0]] = cells[1:]
    return found


def test_users_are_listed_with_what_they_use(admin: Client, users, version: ModelVersion) -> None:
    alice, bob = users["alice"], users["bob"]
    quota_take(user=alice, predictions=3)
    asked = timezone.now() - timedelta(days=2)
    answered_prediction(80, version, user=alice, created_at=asked)
    Prediction.objects.create(file="b", is_upload=True, user=alice, is_background=True)
    decided = asked - timedelta(days=1)
    Observation.objects.create(
        user=alice, status="done", answer={}, decision="agree", decided_at=decided
    )
    Observation.objects.create(user=alice, status="done", answer={})
    photo_exclude(photo=Photo.objects.get(), by=bob)
    listed = rows(admin.get(USERS).content.decode())
    seen = timezone.localtime(asked)
    date = f"{seen.day} {seen:%b %Y, %H:%M}"
    assert listed["alice"][:6] == ["user", "3", "3", "1", "0", date]
    assert listed["bob"][:5] == ["administrator", "0", "0", "0", "1"]
    assert listed["clementine"][:6] == ["user", "0", "0", "0", "0", "-"]
    page = admin.get(f"{USERS}{alice.pk}/change/").content.decode()
    assert "<p>predictions today: 3</p>" in page
    assert f"<p>last seen: {date}</p>" in page


def test_reading_the_list_takes_as_many_queries_for_any_number_of_users(
    admin: Client, users, django_assert_num_queries, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(16) as few:
        admin.get(USERS)
    for number in range(20):
        user_token_create(username=User.objects.create(username=f"user {number}").username)
    with django_assert_num_queries(len(few)):
        admin.get(USERS)


def test_a_token_that_was_used_later_counts_as_seen(admin: Client, users) -> None:
    alice = users["alice"]
    User.objects.filter(pk=alice.pk).update(last_login=timezone.now() - timedelta(days=30))
    client_of(alice)
    now = timezone.localtime()
    listed = rows(admin.get(USERS).content.decode())
    assert listed["alice"][5].startswith(f"{now.day} {now:%b %Y}")


def test_bob_revokes_one_of_alices_tokens(admin: Client, users) -> None:
    alice = users["alice"]
    laptop, _ = user_token_create(username="alice", name="laptop")
    lost, _ = user_token_create(username="alice", name="lost phone")
    page = admin.get(f"{USERS}{alice.pk}/change/").content.decode()
    assert "lost phone" in page
    assert lost not in page
    revoke = f"{TOKENS}{_digest('lost phone')}/delete/"
    assert f'href="{revoke}"' in page
    assert "lost phone" in admin.get(revoke).content.decode()
    assert Token.objects.count() == 2
    assert admin.post(revoke, {"post": "yes"}).status_code == 302
    assert [token.name for token in Token.objects.all()] == ["laptop"]
    assert _status(laptop) == 200
    assert _status(lost) == 401


def _digest(name: str) -> str:
    return get_token_model().objects.get(details__name=name).digest


def _status(token: str) -> int:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client.get("/api/v1/user").status_code


def test_tokens_are_listed_searched_and_revoked(admin: Client, users) -> None:
    laptop, _ = user_token_create(username="alice", name="laptop")
    user_token_create(username="clementine", name="<script>")
    user_token_create(username="alice", name="expired")
    get_token_model().objects.filter(details__name="expired").update(
        expiry=timezone.now() - timedelta(days=1)
    )
    page = admin.get(TOKENS).content.decode()
    assert "laptop" in page
    assert "&lt;script&gt;" in page
    assert "expired" not in page
    assert laptop not in page
    found = admin.get(f"{TOKENS}?q=alice").content.decode()
    assert "laptop" in found
    assert "&lt;script&gt;" not in found
    chosen = {"action": "revoke_selected", "_selected_action": [_digest("laptop")]}
    page = admin.post(TOKENS, chosen, follow=True).content.decode()
    assert "1 token was revoked." in page
    assert _status(laptop) == 401
    assert set(get_token_model().objects.values_list("details__name", flat=True)) == {
        "<script>",
        "expired",
    }


def test_a_token_is_made_and_shown_once(admin: Client, users) -> None:
    response = admin.post(f"{TOKENS}add/", {"user": users["alice"].pk, "name": "NAS"})
    assert "no-store" in response.headers["Cache-Control"]
    [token] = re.findall(r'<code class="new-token">([^<]+)</code>', response.content.decode())
    assert _status(token) == 200
    assert [(token.name, token.user) for token in Token.objects.all()] == [("NAS", users["alice"])]
    assert token not in admin.get(TOKENS).content.decode()


@pytest.mark.parametrize("fields", [{"name": "NAS"}, {"name": ""}, {"user": "99999999"}])
def test_an_incomplete_form_makes_no_token(admin: Client, users, fields: dict) -> None:
    response = admin.post(f"{TOKENS}add/", {"user": "", **fields})
    assert "errorlist" in response.content.decode()
    assert Token.objects.count() == 0


def test_who_may_only_look_can_neither_make_nor_revoke(users, client: Client) -> None:
    user_token_create(username="alice", name="laptop")
    clementine = users["clementine"]
    clementine.is_staff = True
    clementine.save()
    clementine.user_permissions.add(Permission.objects.get(codename="view_token"))
    client.force_login(clementine, backend="django.contrib.auth.backends.ModelBackend")
    assert "laptop" in client.get(TOKENS).content.decode()
    assert client.post(f"{TOKENS}add/", {"user": users["bob"].pk, "name": "x"}).status_code == 403
    chosen = {"action": "revoke_selected", "_selected_action": [_digest("laptop")]}
    client.post(TOKENS, chosen)
    assert client.post(f"{TOKENS}{_digest('laptop')}/delete/", {"post": "yes"}).status_code == 403
    assert [token.name for token in Token.objects.all()] == ["laptop"]


def test_users_and_tokens_come_as_csv(admin: Client, users) -> None:
    quota_take(user=users["alice"], predictions=3)
    user_token_create(username="alice", name="=1+1")
    listed = {row["username"]: row for row in csv_rows(admin.get(f"{USERS}export.csv"))}
    assert listed.keys() == users.keys()
    assert (listed["alice"]["is_active"], listed["bob"]["role"]) == ("True", "administrator")
    assert [listed[name]["predictions_today"] for name in ("alice", "bob")] == ["3", "0"]
    [token] = csv_rows(admin.get(f"{TOKENS}export.csv"))
    assert (token["user"], token["token"]) == ("alice", "'=1+1")
