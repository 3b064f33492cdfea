"""Downloads a photo from a URL that a user gave, by the project's HTTP client."""

from urllib.parse import urljoin

from common.messages import Message
from common.metrics import FETCH_SECONDS
from common.tracing import span
from predictions.http_client import Deadline, Requests, http_request, unreachable
from predictions.photo_urls import (
    FetchError,
    canonical_photo_key,
    check_url,
    mushroom_observer_image_id,
    parse_url,
    smaller_original,
)

__all__ = [
    "FetchError",
    "canonical_photo_key",
    "check_url",
    "fetch_photo",
    "mushroom_observer_image_id",
]

MAX_REDIRECTS = 3


@span("fetch")
@FETCH_SECONDS.time()
def fetch_photo(
    url: str,
    *,
    allow: frozenset[str] = frozenset(),
    max_bytes: int = 10_000_000,
    deadline_s: float = 10.0,
    requests: Requests | None = None,
) -> bytes:
    """Return the bytes at `url`. Whether they are a photo is not checked.

    `max_bytes` limits both the received and the decompressed body. `deadline_s` limits the total
    time in seconds: lookups, connecting, TLS, up to MAX_REDIRECTS redirects, headers and body.
    `allow` is as in `check_url`. Raises only FetchError, and what `requests` raises.
    """
    deadline = Deadline(deadline_s)
    for _ in range(MAX_REDIRECTS + 1):
        answer = http_request(
            target := smaller_original(parse_url(url)),
            allow=allow,
            deadline=deadline,
            max_bytes=max_bytes,
            accept="image/*",
            requests=requests,
        )
        if answer.location is None:
            break
        url = _redirected(target.url, answer.location)
    else:
        raise unreachable(
            Message("The URL redirects more than %(count)d times.", count=MAX_REDIRECTS)
        )
    if answer.status in {404, 410}:
        detail = Message(
            "The photo's host found nothing there (status %(status)d). Check the URL.",
            status=answer.status,
        )
        raise FetchError("image_not_found", detail)
    if answer.status != 200:
        raise unreachable(
            Message("The photo's host answered with status %(status)d.", status=answer.status)
        )
    return answer.body


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise unreachable(Message("The photo's host redirects to what is no URL.")) from error
