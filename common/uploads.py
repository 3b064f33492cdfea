"""The size of a request. A larger body is never kept (champipy_site/web/)."""

MAX_BODY_BYTES = 11_000_000
"""A photo of 10 MB and the form around it."""
MAX_OBSERVATION_BYTES = 61_000_000
"""The photos of an observation, 60 MB together, and the form around them."""
OBSERVATIONS_PATH = "/api/v1/observations"
ASK_PATH = "/ask"
"""Of the page's form, whose photos may be those of a find, too."""


def max_body_bytes(method: str, path: str) -> int:
    """Return how large the body of a request may be, in bytes."""
    has_photos_of_a_find = method == "POST" and path in (OBSERVATIONS_PATH, ASK_PATH)
    return MAX_OBSERVATION_BYTES if has_photos_of_a_find else MAX_BODY_BYTES
