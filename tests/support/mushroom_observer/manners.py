"""How the replica behaves: well, or badly in ways that can be switched on one by one."""

import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SCRIPTS = re.compile(
    r"python-requests|python-urllib|headlesschrome|curl/|wget|aiohttp|httpx|go-http-client|java/"
    r"|libwww|scrapy|okhttp|^-?$",
    re.IGNORECASE,
)


@dataclass
class Manners:
    """The switches. Tests set them while the server runs."""

    refuses_scripts: bool = True  # 403 for scripts' user agents outside /api2
    limits_rate: bool = False  # 429 above 1 request a second (bursts of 10), 20 a minute to /api2
    delay_s: float = 0.0  # before each answer
    run_time_s: float = 0.01  # what the envelope says
    in_maintenance: bool = False  # 503 with Retry-After
    is_blocking: bool = False  # 429 for everything
    retry_after: str = "120"
    sends_html: bool = False  # a page instead of JSON, with status 200
    sends_half: bool = False  # the connection ends in the middle of the answer
    numbers_as_strings: bool = False
    leaves_out: frozenset[str] = frozenset()  # these keys are absent, at any depth
    overrides: Mapping[str, Any] = field(default_factory=dict)  # values of keys, at any depth
    has_namings: bool = True  # whether /api2/namings exists (new in August 2026)
    refuses_unknown_ids: bool = False  # an error where one of the ids asked for does not exist
    fails_writes_after: bool = False  # a write is done, but its answer does not arrive
    changes_after_look: set[int] = field(default_factory=set)
    """Ids of observations that somebody votes on right after they were next looked at."""


def is_script(user_agent: str) -> bool:
    return bool(_SCRIPTS.search(user_agent.strip() or "-"))


class RateLimit:
    """One request a second with bursts of 10, and 20 a minute to the API without a key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[float, float]] = {}  # (tokens, when)
        self._api: dict[str, deque[float]] = defaultdict(deque)

    def allows(self, address: str, *, is_api: bool, has_key: bool) -> bool:
        now = time.monotonic()
        with self._lock:
            tokens, since = self._tokens.get(address, (10.0, now))
            tokens = min(10.0, tokens + now - since)
            recent = self._api[address]
            while recent and recent[0] <= now - 60:
                recent.popleft()
            is_over = tokens < 1 or (is_api and not has_key and len(recent) >= 20)
            self._tokens[address] = (tokens if is_over else tokens - 1, now)
            if is_api and not has_key and not is_over:
                recent.append(now)
            return not is_over


def distorted(value: Any, manners: Manners) -> Any:
    """Return an answer with keys left out or changed, and numbers as strings, where asked for."""
    if isinstance(value, dict):
        return {
            key: manners.overrides.get(key, distorted(each, manners))
            for key, each in value.items()
            if key not in manners.leaves_out
        }
    if isinstance(value, list):
        return [distorted(each, manners) for each in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number and manners.numbers_as_strings else value
