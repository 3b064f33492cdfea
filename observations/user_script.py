"""Serves the user script that shows verdicts in the pages of Mushroom Observer.

It says where this ChampiPy and the site are, and what it shows in the reader's language; nothing in
it is somebody's.
"""

import functools
import json
import re
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.views.decorators.http import conditional_page, require_safe

from observations.mushroom_observer.references import site_url


@require_safe
@conditional_page
def user_script(request: HttpRequest) -> HttpResponse:
    """Return the script, with the addresses by which this request came and of the site."""
    champipy = request.build_absolute_uri("/").rstrip("/")
    sites = _origins(site_url())
    context = {
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "champipy": champipy,
        "champipy_host": urlsplit(champipy).hostname,
        "address": request.build_absolute_uri(request.path),
        # Without the port, which not all browsers allow here. The script looks at the origin.
        "matches": [f"{urlsplit(site).scheme}://{urlsplit(site).hostname}/*" for site in sites],
        "addresses": json.dumps({"champipy": champipy, "sites": sites}),
        "texts": json.dumps({text: gettext(text) for text in _texts()}),
    }
    response = render(
        request,
        "observations/champipy.user.js",
        context,
        content_type="text/javascript; charset=utf-8",
    )
    response["Cache-Control"] = "no-cache"
    return response


@functools.cache
def _texts() -> list[str]:
    """Return the texts that the script shows: the arguments of its function `phrase`."""
    return re.findall(r'\bphrase\(\s*"([^"]+)"', render_to_string("observations/champipy.user.js"))


def _origins(url: str) -> list[str]:
    """Return the origin of the site, and of mushroomobserver.org that with www., too."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    is_default = parts.netloc == "mushroomobserver.org"
    return [origin, f"{parts.scheme}://www.{parts.netloc}"] if is_default else [origin]
