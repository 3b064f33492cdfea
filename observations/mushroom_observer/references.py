"""Reads what people paste for an observation, and makes the addresses of pages at the site."""

import json
import re
from collections.abc import Sequence
from urllib.parse import quote, quote_plus

from common.messages import Message
from observations.mushroom_observer.errors import BadReferenceError
from predictions.photo_urls import FetchError, mushroom_observer_site, parse_url

MAX_ID = 10**12
_PATH = re.compile(r"/+(?:observations/|obs/)?([0-9]{1,12})/*(?:[?#].*)?", re.DOTALL)
_NUMBER = re.compile(r"#?([0-9]{1,12})")
_DEFAULT_NAMES = {"mushroomobserver.org", "www.mushroomobserver.org"}


def observation_id(text: str | int) -> int:
    """Return the id of the observation that `text` names.

    That is a number, `/observations/ID`, `/obs/ID`, `/ID`, or the address of one of these at
    CHAMPIPY_MUSHROOM_OBSERVER_URL, with or without a query and a fragment.
    Raises BadReferenceError if it is anything else.
    """
    text = str(text).strip()
    match = _NUMBER.fullmatch(text) or _PATH.fullmatch(_path_at_the_site(text))
    number = int(match[1]) if match else 0
    if not 0 < number < MAX_ID:
        raise BadReferenceError(
            Message(
                "This is no observation of Mushroom Observer. Give its number, or its address: "
                "%(url)s",
                url=observation_url(123456),
            )
        )
    return number


def _path_at_the_site(text: str) -> str:
    """Return the path of an address at the site, or the text itself if it is a path."""
    if text.startswith("/") and not text.startswith("//"):
        return text
    site = mushroom_observer_site()
    address = text if "://" in text else f"{site.scheme}://{text}"
    try:
        target = parse_url(address)
    except FetchError:
        return ""
    is_default = site.host in _DEFAULT_NAMES
    same_host = target.host in _DEFAULT_NAMES if is_default else target.host == site.host
    same_port = target.port in (80, 443) if is_default else target.port == site.port
    return target.path if same_host and same_port else ""


def site_url() -> str:
    """Return the address of the site, without a slash at the end."""
    return mushroom_observer_site().url.rstrip("/")


def observation_url(observation: int) -> str:
    """Return the address of an observation's page."""
    return f"{site_url()}/observations/{observation}"


def naming_form_url(observation: int, name: str) -> str:
    """Return the address of the site's form that proposes a name, with the name filled in."""
    return f"{observation_url(observation)}/namings/new?naming={quote_plus(name)}"


def suggestions_url(observation: int, photos: Sequence[Sequence[tuple[str, float]]]) -> str:
    """Return the address of the site's page of suggestions.

    `photos` has one list of (name, percent) for each photo.
    """
    names = json.dumps(
        [[[name, round(percent, 2)] for name, percent in photo] for photo in photos],
        separators=(",", ":"),
    )
    return f"{observation_url(observation)}/suggestions?names={quote(names)}"


def image_url(image: int, size: int) -> str:
    """Return the address of an image. `size`: 320, 640, 960 or 1280 pixels."""
    return f"{site_url()}/images/{size}/{image}.jpg"


def image_page_url(image: int) -> str:
    """Return the address of the page about an image, to which its attribution links."""
    return f"{site_url()}/images/{image}"
