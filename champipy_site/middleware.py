"""Middleware of this site: security headers, HEAD, and requests that no view should see."""

import functools
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext
from drf_spectacular.generators import SchemaGenerator

from champipy_site.errors import API_PREFIX, api_error
from common.messages import Message

GetResponse = Callable[[HttpRequest], HttpResponseBase]

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data: blob:",  # photos are shown before they are sent
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
# Swagger UI has inline styles. No page has inline scripts.
WITH_INLINE_STYLES = f"{CONTENT_SECURITY_POLICY}; style-src 'self' 'unsafe-inline'"
PATHS_WITH_INLINE_STYLES = ("/api/v1/docs",)
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        *("accelerometer", "camera", "display-capture", "geolocation", "gyroscope"),
        *("magnetometer", "microphone", "midi", "payment", "usb"),
    )
)


def security_headers(get_response: GetResponse) -> GetResponse:
    """Add the headers that say what a page may load and which devices it may use."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        has_inline_styles = request.path_info.startswith(PATHS_WITH_INLINE_STYLES)
        policy = WITH_INLINE_STYLES if has_inline_styles else CONTENT_SECURITY_POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    return middleware


def head_without_body(get_response: GetResponse) -> GetResponse:
    """Answer HEAD as GET, with its Content-Length, and without the body."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method == "HEAD":
            if response.streaming:
                response.streaming_content = []  # type: ignore[attr-defined]
            else:
                response.content = b""  # type: ignore[attr-defined]
        return response

    return middleware


def sound_requests(get_response: GetResponse) -> GetResponse:
    """Refuse query parameters that the API does not know, and a NUL in an address of the admin.

    PostgreSQL cannot compare a NUL, and the admin's filters do not look for one. The API's
    serializers do, and name the parameter.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        query = request.META.get("QUERY_STRING", "")
        if request.path_info.startswith(API_PREFIX):
            if query and (unknown := unknown_parameters(request)):
                return api_error(400, "parse_error", unknown)
        elif b"\0" in unquote_to_bytes(query) or "\0" in request.path_info:
            raise Http404(gettext("The address contains a NUL character."))
        return get_response(request)

    return middleware


@functools.cache
def query_parameters() -> list[tuple[re.Pattern[str], dict[str, set[str]]]]:
    """Return, for each path of the schema, the names of its query parameters by method."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        (
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))),
            {
                method: {
                    each["name"]
                    for each in operation.get("parameters", [])
                    if each["in"] == "query"
                }
                for method, operation in operations.items()
            },
        )
        for path, operations in paths.items()
    ]


def unknown_parameters(request: HttpRequest) -> str:
    """Return what to say of query parameters that the schema lacks, or "" if it has all."""
    method = {"HEAD": "get"}.get(request.method or "", (request.method or "").lower())
    for path, parameters in query_parameters():
        if path.fullmatch(request.path_info) and method in parameters:
            if unknown := sorted(set(request.GET) - parameters[method]):
                names = ", ".join(repr(name[:50]) for name in unknown[:5])
                if not parameters[method]:
                    return str(
                        Message(
                            "Unknown query parameters: %(names)s. Known here: none.", names=names
                        )
                    )
                known = ", ".join(sorted(parameters[method]))
                return str(
                    Message(
                        "Unknown query parameters: %(names)s. Known here: %(known)s.",
                        names=names,
                        known=known,
                    )
                )
            return ""
    return ""
