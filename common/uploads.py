"""The size of a request. A larger body is never kept (champipy_site/web/)."""

MAX_BODY_BYTES = 11_000_000
"""A photo of 10 MB and the form around it."""
MAX_OBSERVATION_BYTES = 61_000_000
"""The photos of an observation, 60 MB together, and the form around them."""
OBSERVATIONS_PATH = "/api/v1/observations"


def max_body_bytes(method: str, path: str) -> int:
    """Return how large the body of a request may be, in bytes."""
    is_observation = method == "POST" and path == OBSERVATIONS_PATH
    return MAX_OBSERVATION_BYTES if is_observation else MAX_BODY_BYTES
