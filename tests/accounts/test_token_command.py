"""./champipy token NAME: a token without a password, for whoever administers the machine."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from accounts.models import User

pytestmark = pytest.mark.django_db


def test_a_token_is_printed_alone_and_works(users: dict[str, User]) -> None:
    out, err = StringIO(), StringIO()
    call_command("token", "alice", stdout=out, stderr=err)
    [token] = out.getvalue().splitlines()
    assert err.getvalue().startswith("Valid until ")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.get("/api/v1/user").json() == {"username": "alice", "is_admin": False}


@pytest.mark.parametrize("name", ["nobody", "alice"])
def test_who_does_not_exist_or_is_inactive_gets_none(users: dict[str, User], name: str) -> None:
    User.objects.filter(username="alice").update(is_active=False)
    with pytest.raises(CommandError, match=f"There is no active user '{name}'"):
        call_command("token", name)
