"""The WSGI application of the web process."""

import codecs
import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

from common.errors import error_body

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "champipy_site.settings")

CHARSETS = {"utf-8", "ascii", "iso8859-1", "cp1252"}

django_application = get_wsgi_application()


def has_known_charset(content_type: str) -> bool:
    """Return whether Django can read the Content-Type, and text in its charset."""
    try:
        _, parameters = parse_header_parameters(content_type)
        return codecs.lookup(parameters.get("charset", "utf-8")).name in CHARSETS
    except (LookupError, ValueError):
        return False


def application(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    """Call Django, unless it could not even make a request of the headers."""
    if has_known_charset(environ.get("CONTENT_TYPE", "")):
        return django_application(environ, start_response)
    body = error_body(400, "parse_error", "The charset of the Content-Type is unknown. Send UTF-8.")
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("400 Bad Request", headers)
    return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]
