"""The `Prefer` header (RFC 7240), in which a client says how long it will wait."""

import re

from drf_spectacular.utils import OpenApiParameter

DEFAULT_WAIT_S = 10
MAX_WAIT_S = 30

PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description=(
        f"`wait=N` seconds (default {DEFAULT_WAIT_S}, maximum {MAX_WAIT_S}) or `respond-async`."
    ),
)
"""The header's description in the OpenAPI schema."""


def wait_preferred(header: str) -> int:
    """Return how many seconds (0 to MAX_WAIT_S) to wait for an answer.

    `respond-async` without `wait` means 0. Preferences that can't be parsed are ignored (RFC 7240,
    section 2).
    """
    preferences = [part.strip().lower() for part in re.split("[,;]", header)]
    for preference in preferences:
        if match := re.fullmatch(r'wait\s*=\s*"?([0-9]{1,6})"?', preference):
            return min(int(match[1]), MAX_WAIT_S)
    return 0 if "respond-async" in preferences else DEFAULT_WAIT_S
