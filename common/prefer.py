"""How long a client is willing to wait: the `Prefer` header of RFC 7240."""

import re

from drf_spectacular.utils import OpenApiParameter

DEFAULT_WAIT_S = 10
MAX_WAIT_S = 30

PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description=(
        f"`wait=N` seconds ({DEFAULT_WAIT_S} unless told, {MAX_WAIT_S} at most) or `respond-async`."
    ),
)
"""The header in the schema."""


def wait_preferred(header: str) -> int:
    """Return for how many seconds (0 to MAX_WAIT_S) to wait for an answer.

    `respond-async` without a wait means not at all; what cannot be read is ignored (RFC 7240, 2).
    """
    preferences = [part.strip().lower() for part in re.split("[,;]", header)]
    for preference in preferences:
        if match := re.fullmatch(r'wait\s*=\s*"?([0-9]{1,6})"?', preference):
            return min(int(match[1]), MAX_WAIT_S)
    return 0 if "respond-async" in preferences else DEFAULT_WAIT_S
