"""Whose a photo is, and the licences under which it may be shown to anybody."""

import re
from dataclasses import dataclass

_CREATIVE_COMMONS = re.compile(
    r"https?://creativecommons\.org/"
    r"(?P<what>licenses/(?P<kind>by(?:-nc)?(?:-nd|-sa)?)/(?P<version>[1-4]\.[05])"
    r"|publicdomain/(?:zero|mark)/1\.0)"
    r"(?:/[a-z]{2,5})?(?:/(?:deed|legalcode)(?:\.[a-z_-]+)?)?/?",
    re.IGNORECASE,
)
_SHORT = re.compile(
    r"CC[ -](?P<kind>BY(?:-NC)?(?:-ND|-SA)?)[ -](?P<version>[1-4]\.[05])", re.IGNORECASE
)
_NAMES = {
    # As Mushroom Observer names them.
    "creative commons wikipedia compatible v3.0": "licenses/by-sa/3.0/",
    "creative commons non-commercial v2.5": "licenses/by-nc-sa/2.5/",
    "creative commons non-commercial v3.0": "licenses/by-nc-sa/3.0/",
    "public domain": "publicdomain/mark/1.0/",
    "cc0": "publicdomain/zero/1.0/",
    "cc0 1.0": "publicdomain/zero/1.0/",
}


@dataclass(frozen=True)
class Attribution:
    """What must stand beside a photo that is shown."""

    author: str = ""
    """The copyright holder."""
    licence: str = ""
    """`licence_url` of its licence; empty: it may not be shown to everybody."""
    source: str = ""
    """URL of the page that shows it."""


def licence_url(text: str) -> str:
    """Return the address of the licence that `text` names, by which anybody may show a photo.

    `text` is the address of a Creative Commons licence, its short name ("CC BY-SA 3.0") or the name
    that Mushroom Observer gives it. Of everything else ("all rights reserved", names of other
    licences, nothing) the result is empty: nothing is assumed.
    """
    text = " ".join(text.split())
    path = _NAMES.get(text.casefold(), "")
    if (match := _CREATIVE_COMMONS.fullmatch(text)) is not None:
        path = f"{match['what'].lower()}/"
    elif (match := _SHORT.fullmatch(text)) is not None:
        path = f"licenses/{match['kind'].lower()}/{match['version']}/"
    return f"https://creativecommons.org/{path}" if path else ""


def licence_name(url: str) -> str:
    """Return the short name of a licence that `licence_url` returned: "CC BY-SA 3.0"."""
    match = _CREATIVE_COMMONS.fullmatch(url)
    if match is None:
        return url
    if match["kind"] is None:
        return "CC0 1.0" if "/zero/" in url else "Public Domain"
    return f"CC {match['kind'].upper()} {match['version']}"
