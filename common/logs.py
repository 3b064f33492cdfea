"""How log lines look: plain text or JSON; none of them holds a secret."""

import json
import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
MIN_SECRET_LENGTH = 8
"""Shorter ones would hide common words."""

_CREDENTIALS = re.compile(
    r"""
    (?P<url>\b[a-z][a-z0-9+.-]{0,20}://)[^\s/?\#"']{0,300}@  # user and password in a URL
    | (?P<parameter>[?&][\w-]{0,40}(?:token|key|signature|secret|password|credential)[\w-]{0,40}=)
      [^\s&"'<>]+
    | (?P<scheme>\b(?:bearer|token|basic)[ ]+)(?=[^\s"']{0,300}\d)[\w.~+/=-]{16,}
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _without_credentials(match: re.Match[str]) -> str:
    at = "@" if match["url"] else ""
    return f"{match['url'] or match['parameter'] or match['scheme']}{HIDDEN}{at}"


def url_secrets(url: str) -> list[str]:
    """Return the password of a URL, as it stands there and decoded; none, if it has none."""
    password = urlsplit(url).password
    return [password, unquote(password)] if password else []


def alert_secrets(url: str) -> list[str]:
    """Return what may be secret in an address of Apprise: each part, as each service has its own.

    `slack://TokenA/TokenB/TokenC`, `json://user:password@host/path`.
    """
    return [part for part in re.split("[/:@?&=]+", url.partition("://")[2]) if part]


class Redactor:
    """Hides the given secrets in texts, and whatever looks like credentials."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {each for each in secrets if len(each) >= MIN_SECRET_LENGTH}
        longest_first = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if known else None

    def __call__(self, text: str) -> str:
        """Return the text with *** in the place of secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return _CREDENTIALS.sub(_without_credentials, text)


class LineFormatter(logging.Formatter):
    """Formats a record as a line of text, with a traceback below it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("{asctime} {levelname} {name}{request}: {message}", style="{")
        self._redact = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


class JSONFormatter(logging.Formatter):
    """Formats a record as one line with one JSON object. `extra={"fields": {…}}` adds to it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._redact = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": self._redact(record.getMessage()),
            "process": record.process,
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        line |= {name: self._hidden(each) for name, each in getattr(record, "fields", {}).items()}
        if record.exc_info:
            line["exception"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)

    def _hidden(self, value: Any) -> Any:
        return value if isinstance(value, int | float) else self._redact(str(value))
