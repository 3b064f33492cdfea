"""Names of tokens, when they were last used, and that a revoked one is gone."""

from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.cache import cache
from django.core.management import call_command
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.test import APIClient

from accounts.models import TokenDetails, User
from accounts.selectors import tokens_of
from accounts.services import SEEN_AGAIN_S, token_seen

pytestmark = pytest.mark.django_db
LOGIN = {"username": "alice", "password": "wonderland"}


def test_a_login_can_name_its_token(users: dict[str, User], nobody: APIClient) -> None:
    assert nobody.post("/api/v1/token", LOGIN, format="json").status_code == 200
    named = LOGIN | {"name": "laptop"}
    assert set(nobody.post("/api/v1/token", named, format="json").json()) == {"token", "expiry"}
    names = [token.name for token in tokens_of(users["alice"])]
    assert names == ["laptop", ""]
    assert list(tokens_of(users["bob"])) == []


def test_a_name_that_is_too_long_makes_no_token(users, nobody: APIClient) -> None:
    response = nobody.post("/api/v1/token", LOGIN | {"name": "x" * 101}, format="json")
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "name"
    assert get_token_model().objects.count() == 0


def test_the_command_names_a_token(users: dict[str, User]) -> None:
    call_command("token", "alice", "--called", "script on the NAS", stdout=StringIO())
    assert [str(token) for token in tokens_of(users["alice"])] == ["script on the NAS"]


def test_a_use_of_a_token_is_recorded_now_and_then(users, alice: APIClient) -> None:
    cache.clear()
    first = timezone.now()
    with time_machine.travel(first, tick=False):
        assert alice.get("/api/v1/user").status_code == 200
    with time_machine.travel(first + timedelta(seconds=60), tick=False):
        alice.get("/api/v1/user")
    assert tokens_of(users["alice"]).get().last_used_at == first
    cache.clear()  # as after SEEN_AGAIN_S
    later = first + timedelta(seconds=SEEN_AGAIN_S + 1)
    with time_machine.travel(later, tick=False):
        alice.get("/api/v1/user")
    assert tokens_of(users["alice"]).get().last_used_at == later


def test_a_use_keeps_the_name(users, nobody: APIClient) -> None:
    cache.clear()
    answer = nobody.post("/api/v1/token", LOGIN | {"name": "laptop"}, format="json").json()
    nobody.credentials(HTTP_AUTHORIZATION=f"Bearer {answer['token']}")
    assert nobody.get("/api/v1/user").status_code == 200
    token = tokens_of(users["alice"]).get()
    assert token.name == "laptop"
    assert token.last_used_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_token_that_was_revoked_in_that_moment_leaves_nothing(users, alice: APIClient) -> None:
    cache.clear()
    token = get_token_model().objects.get()
    get_token_model().objects.all().delete()
    token_seen(token=token)
    assert TokenDetails.objects.count() == 0
