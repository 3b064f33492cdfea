"""Paths of the photo server that misbehave, and the error codes of fetching them."""

import re

import pytest

from predictions.fetching import FetchError
from tests.support.hostile_files import photo_bytes

PHOTO = photo_bytes()
MAX_DELAY_S = 4.0  # a deadline of half a second may take this long on a busy machine

BAD_RESPONSES = [
    ("missing.jpg", "image_not_found"),
    ("status/404", "image_not_found"),
    ("status/410", "image_not_found"),
    *((f"status/{status}", "image_unreachable") for status in (201, 204, 206, 302, 304)),
    *((f"status/{status}", "image_unreachable") for status in (400, 401, 403, 429, 500, 503)),
    ("redirect-loop", "image_unreachable"),
    ("redirect/4/a.jpg", "image_unreachable"),
    ("redirect-to?url=http://169.254.169.254/latest/", "url_forbidden"),
    ("redirect-to?url=http://127.0.0.1:1/", "url_forbidden"),
    ("redirect-to?url=//[::1]/", "url_forbidden"),
    ("redirect-to?url=http://8.8.8.8:8080/", "url_forbidden"),
    ("redirect-to?url=file:///etc/passwd", "url_forbidden"),
    ("redirect-to?url=http://user@example.org/", "url_forbidden"),
    ("redirect-to?url=http://%32130706433/", "url_forbidden"),
    ("lying-length/a.jpg", "image_unreachable"),
    ("huge-length", "image_too_large"),
    ("no-length", "image_too_large"),
    ("chunks", "image_too_large"),
    ("long-chunk-size", "image_unreachable"),
    ("headers", "image_unreachable"),
    ("long-header", "image_unreachable"),
    ("continues", "image_too_large"),
    ("gzip-bomb", "image_too_large"),
    ("gzip-garbage", "image_unreachable"),
    ("brotli", "image_unreachable"),
    ("reset", "image_unreachable"),
    ("garbage", "image_unreachable"),
    ("big.jpg", "image_too_large"),
]
SLOW_PATHS = ["drip/a.jpg", "drip-chunks/a.jpg", "drip-headers", "hang", "redirect/3/drip/a.jpg"]


def refusal(fetch, *args, **options) -> str:
    """Return the code of the FetchError; its message must not contain an address."""
    with pytest.raises(FetchError) as error:
        fetch(*args, **options)
    assert not re.search(r"\d+\.\d+\.\d+|::", str(error.value.detail))
    return error.value.code
