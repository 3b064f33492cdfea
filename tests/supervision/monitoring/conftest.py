"""Channels that receive alerts: real servers on this machine."""

import pytest

from tests.support.sinks import MailServer, WebHook


@pytest.fixture
def mail(settings, users):
    """Configure a real mail server, and two administrators of whom one has an address; yield it."""
    server = MailServer()
    settings.EMAIL_URL = f"smtp://127.0.0.1:{server.port}"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    users["bob"].email = "bob@example.org"
    users["bob"].save()
    users["alice"].email = "alice@example.org"  # not an administrator
    users["alice"].save()
    yield server
    server.stop()


@pytest.fixture
def webhook(settings):
    server = WebHook()
    settings.CHAMPIPY_ALERT_URLS = [f"json://127.0.0.1:{server.port}/secret"]
    yield server
    server.stop()
