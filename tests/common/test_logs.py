"""Log lines: text or JSON, with the request's id, and without secrets."""

import json
import logging
import os
import subprocess
import sys
import time

import pytest

from common.logs import HIDDEN, JSONFormatter, LineFormatter, Redactor, alert_secrets, url_secrets
from common.request_id import RequestIdFilter, request_id
from tests.support.paths import PROJECT

SECRETS = {
    "SECRET_KEY": "key-of-the-signatures",
    "CHAMPIPY_METRICS_TOKEN": "token-of-prometheus",
    "DATABASE_URL": "postgres://champipy:password%2Fof-postgresql@127.0.0.1:5/champipy",
    "REDIS_URL": "redis://:password-of-valkey@127.0.0.1:6/0",
    "EMAIL_URL": "smtp+tls://mail:password-of-mail@mail.example.org:587",
    "CHAMPIPY_ALERT_URLS": "slack://TokenOfA123/TokenOfB123/TokenOfC123 json://host/hook-of-json",
}
WORDS = [
    *(
        "key-of-the-signatures",
        "token-of-prometheus",
        "password%2Fof-postgresql",
        "password/of-postgresql",
    ),
    *("password-of-valkey", "password-of-mail", "TokenOfB123", "hook-of-json"),
]
LOGS = f"""
import logging, django
django.setup()
logger = logging.getLogger("a")
for word in {WORDS!r}:
    logger.warning("said: %s.", word)
try:
    raise ValueError({WORDS!r})
except ValueError:
    logger.exception("failed")
"""


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("GET redis://:pass@host:1/0 failed", "GET redis://***@host:1/0 failed"),
        ("https://user:pa:ss@example.org/a?b=c", "https://***@example.org/a?b=c"),
        ("/a?X-Amz-Signature=0af&x=1&api_key=2", "/a?X-Amz-Signature=***&x=1&api_key=***"),
        ("Authorization: Token 0123456789abcdef01", "Authorization: Token ***"),
        ("authorization: bearer abcdefghijklmno.1", "authorization: bearer ***"),
        ("a token of the user alice expired", "a token of the user alice expired"),
        (
            "mail bob@example.org at https://example.org",
            "mail bob@example.org at https://example.org",
        ),
        ("known-secret-1 and more", "*** and more"),
    ],
)
def test_credentials_are_hidden(text: str, hidden: str) -> None:
    assert Redactor(["known-secret-1", "and", ""])(text) == hidden


def test_hiding_takes_no_longer_for_hostile_text() -> None:
    redact = Redactor(["known-secret-1"])
    began = time.process_time()
    for text in ("a." * 50_000, "://" * 30_000, "?key" * 25_000, "token " * 20_000, "-" * 100_000):
        assert redact(text) == text
    assert time.process_time() - began < 20  # quadratic, it would take many minutes


def test_parts_of_addresses_are_secret() -> None:
    assert url_secrets("redis://127.0.0.1:6379/0") == []
    assert url_secrets("redis://:a%2Fb@127.0.0.1:6379/0") == ["a%2Fb", "a/b"]
    assert alert_secrets("slack://A/B/C") == ["A", "B", "C"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_of_the_settings_is_logged(log_format: str) -> None:
    environment = os.environ | SECRETS | {"CHAMPIPY_LOG_FORMAT": log_format}
    done = subprocess.run(
        [sys.executable, "-c", LOGS],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.count(f"said: {HIDDEN}") == len(WORDS)
    assert "Traceback" in done.stderr
    assert [word for word in WORDS if word in done.stderr] == []
    if log_format == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert len(lines) == len(WORDS) + 1
        assert lines[-1]["exception"].startswith("Traceback")


def record(text: str, **extra) -> logging.LogRecord:
    made = logging.LogRecord("a.b", logging.INFO, "a.py", 1, text, None, None)
    made.__dict__ |= extra
    RequestIdFilter().filter(made)
    return made


def test_json_is_one_line_with_the_requests_id() -> None:
    token = request_id.set("abc")
    line = JSONFormatter().format(record("two\nlines é", fields={"n": 1, "path": "/?token=abc"}))
    request_id.reset(token)
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "INFO",
        "logger": "a.b",
        "message": "two\nlines é",
        "process": os.getpid(),
        "request_id": "abc",
        "n": 1,
        "path": f"/?token={HIDDEN}",
    }
    assert "request_id" not in json.loads(JSONFormatter().format(record("text")))


def test_text_is_a_line_with_the_requests_id() -> None:
    token = request_id.set("abc")
    line = LineFormatter().format(record("text"))
    request_id.reset(token)
    assert line.endswith(" INFO a.b [abc]: text")
