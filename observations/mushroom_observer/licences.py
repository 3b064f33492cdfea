"""Reads the names of licences. Of one that is not known, all rights are reserved."""

import re

_SITE = "https://creativecommons.org"
_NAMES = {
    # As Mushroom Observer names them.
    "creative commons wikipedia compatible v3.0": "licenses/by-sa/3.0/",
    "creative commons non-commercial v2.5": "licenses/by-nc-sa/2.5/",
    "creative commons non-commercial v3.0": "licenses/by-nc-sa/3.0/",
    "public domain": "publicdomain/mark/1.0/",
    "cc0": "publicdomain/zero/1.0/",
    "cc0 1.0": "publicdomain/zero/1.0/",
}
_SHORT = re.compile(r"cc[ -](by(?:-nc)?(?:-nd|-sa)?)[ -]([1-4]\.[05])")
_URL = re.compile(
    r"https?://creativecommons\.org/"
    r"(licenses/by(?:-nc)?(?:-nd|-sa)?/[1-4]\.[05]|publicdomain/(?:zero|mark)/1\.0)/?(?:deed\S*)?"
)


def licence_url(text: str) -> str:
    """Return the address of the licence with this name or address; "" if it is not known."""
    plain = " ".join(text.lower().split())
    path = _NAMES.get(plain, "")
    if match := _URL.fullmatch(plain):
        path = f"{match[1]}/"
    elif match := _SHORT.fullmatch(plain):
        path = f"licenses/{match[1]}/{match[2]}/"
    return f"{_SITE}/{path}" if path else ""
