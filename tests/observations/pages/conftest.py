import pytest
from django.test import Client

from accounts.models import User
from tests.support.writes import Messages


@pytest.fixture
def page(users: dict[str, User]) -> Client:
    """Return a browser in which alice is logged in."""
    client = Client()
    client.force_login(users["alice"], backend="accounts.backends.PasswordBackend")
    return client


@pytest.fixture
def messages_at_once(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """Let this process do what workers are told to, at once."""
    return Messages(monkeypatch)
