"""The client's address behind proxies, whatever form it has."""

import pytest
from axes.models import AccessAttempt
from django.test import RequestFactory

from accounts.checks import production_settings
from accounts.lockout import client_address
from tests.support.api import client_of, error_of

FORWARDED = {
    "203.0.113.5": "203.0.113.5",
    "203.0.113.5:4711": "203.0.113.5",
    " 203.0.113.5 ": "203.0.113.5",
    "2001:db8::1": "2001:db8::1",
    "2001:0DB8::0001": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:443": "2001:db8::1",
    "::ffff:203.0.113.5": "203.0.113.5",
    "[::ffff:203.0.113.5]:443": "203.0.113.5",
    "fe80::1%eth0": "fe80::1",
    "198.51.100.1, 203.0.113.5:4711": "203.0.113.5",
    # No address: that of the connection.
    "unknown": "192.0.2.9",
    "_hidden": "192.0.2.9",
    "": "192.0.2.9",
    "203.0.113.5,": "192.0.2.9",
    "203.0.113.5:": "192.0.2.9",
    "203.0.113.500": "192.0.2.9",
    "[2001:db8::1": "192.0.2.9",
    "[]:443": "192.0.2.9",
    ":443": "192.0.2.9",
    "%": "192.0.2.9",
    "\x00": "192.0.2.9",
    "\xe9" * 300: "192.0.2.9",
}


def trust(settings, proxies: int) -> None:
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": proxies}


@pytest.mark.parametrize(("forwarded", "address"), FORWARDED.items(), ids=ascii)
def test_address_is_parsed_or_that_of_the_connection(settings, forwarded, address) -> None:
    trust(settings, 1)
    headers = {"HTTP_X_FORWARDED_FOR": forwarded, "REMOTE_ADDR": "192.0.2.9"}
    assert client_address(RequestFactory().get("/", **headers)) == address
    trust(settings, 0)
    assert client_address(RequestFactory().get("/", **headers)) == "192.0.2.9"


def test_connection_without_an_address_has_none(settings) -> None:
    trust(settings, 1)
    headers = {"HTTP_X_FORWARDED_FOR": "unknown", "REMOTE_ADDR": ""}
    assert client_address(RequestFactory().get("/", **headers)) is None


@pytest.mark.django_db
@pytest.mark.parametrize("remote", ["192.0.2.9", "fe80::1%eth0", ""])
@pytest.mark.parametrize("forwarded", ["203.0.113.5:4711", "[2001:db8::1]:443", "unknown"])
def test_login_works_with_every_form_of_address(users, settings, forwarded, remote) -> None:
    trust(settings, 1)
    client = client_of(None)
    client.credentials(HTTP_X_FORWARDED_FOR=forwarded, REMOTE_ADDR=remote)
    right = {"username": "alice", "password": "wonderland"}
    wrong = {"username": "alice", "password": "wrong"}
    assert client.post("/api/v1/token", right, format="json").status_code == 200
    answers = [client.post("/api/v1/token", wrong, format="json") for _ in range(5)]
    assert [error_of(answer)[0] for answer in answers] == [401] * 4 + [429]
    locked = client.post("/api/v1/token", right, format="json")
    assert error_of(locked) == (429, "login_locked")
    assert client.post("/admin/login/", right).status_code == 429


@pytest.mark.django_db
def test_another_port_is_not_another_client(users, settings) -> None:
    trust(settings, 1)
    client = client_of(None)
    codes = []
    for number in range(6):
        client.credentials(HTTP_X_FORWARDED_FOR=f"203.0.113.5:{4711 + number}")
        wrong = {"username": "alice", "password": "wrong"}
        codes.append(client.post("/api/v1/token", wrong, format="json").status_code)
    assert codes == [401] * 4 + [429] * 2
    assert AccessAttempt.objects.get().ip_address == "203.0.113.5"


@pytest.mark.parametrize(
    ("changes", "signs"),
    [
        ({}, None),
        ({"ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]", "192.168.1.5"]}, None),
        ({"USE_HTTPS": True}, "USE_HTTPS"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://fungi.example"]}, "CSRF_TRUSTED_ORIGINS"),
        ({"ALLOWED_HOSTS": ["fungi.example"]}, "ALLOWED_HOSTS"),
        ({"USE_HTTPS": True, "ALLOWED_HOSTS": ["*"]}, "USE_HTTPS and ALLOWED_HOSTS"),
        ({"USE_HTTPS": True, "TRUSTED_PROXIES": 1}, None),
    ],
)
def test_deploy_check_warns_of_a_proxy_that_is_not_trusted(settings, changes, signs) -> None:
    settings.USE_HTTPS, settings.CSRF_TRUSTED_ORIGINS, settings.TRUSTED_PROXIES = False, [], 0
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    for name, value in changes.items():
        setattr(settings, name, value)
    warnings = [check for check in production_settings(None) if check.id == "champipy.W004"]
    assert [f"but {signs} imply" in warning.msg for warning in warnings] == [True] * bool(signs)
