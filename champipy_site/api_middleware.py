"""Middleware of the API: request ids, problem details, caching, compression."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.translation import gettext_lazy as _

from champipy_site.errors import API_PREFIX
from common.api import PROBLEM_TYPE, accepts_problem_details
from common.request_id import HEADER, accepted_or_new, request_id

GetResponse = Callable[[HttpRequest], HttpResponseBase]

TOKEN_PATH = "/api/v1/token"  # noqa: S105 - a path
TITLES = {
    HTTPStatus.BAD_REQUEST: _("Bad Request"),
    HTTPStatus.UNAUTHORIZED: _("Unauthorized"),
    HTTPStatus.FORBIDDEN: _("Forbidden"),
    HTTPStatus.NOT_FOUND: _("Not Found"),
    HTTPStatus.METHOD_NOT_ALLOWED: _("Method Not Allowed"),
    HTTPStatus.NOT_ACCEPTABLE: _("Not Acceptable"),
    HTTPStatus.CONFLICT: _("Conflict"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _("Request Entity Too Large"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: _("Unsupported Media Type"),
    HTTPStatus.UNPROCESSABLE_ENTITY: _("Unprocessable Entity"),
    HTTPStatus.TOO_MANY_REQUESTS: _("Too Many Requests"),
    HTTPStatus.INTERNAL_SERVER_ERROR: _("Internal Server Error"),
    HTTPStatus.BAD_GATEWAY: _("Bad Gateway"),
    HTTPStatus.SERVICE_UNAVAILABLE: _("Service Unavailable"),
    HTTPStatus.GATEWAY_TIMEOUT: _("Gateway Timeout"),
    HTTPStatus.INSUFFICIENT_STORAGE: _("Insufficient Storage"),
}
"""The names of the statuses that errors have."""


def request_ids(get_response: GetResponse) -> GetResponse:
    """Take the client's X-Request-Id, or make one; name it in the answer and in the logs."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        current = accepted_or_new(request.headers.get(HEADER, ""))
        before = request_id.set(current)
        try:
            response = get_response(request)
        finally:
            request_id.reset(before)
        response.headers[HEADER] = current
        return response

    return middleware


def private_answers(get_response: GetResponse) -> GetResponse:
    """Let nobody store an answer of the API, or a page, that is somebody's."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.path_info.startswith(API_PREFIX):
            is_somebodys = "Authorization" in request.headers or request.path_info == TOKEN_PATH
        else:
            is_page = response.headers.get("Content-Type", "").startswith("text/html")
            is_somebodys = is_page and settings.SESSION_COOKIE_NAME in request.COOKIES
        if is_somebodys:
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return middleware


def compressed_answers(get_response: GetResponse) -> GetResponse:
    """Compress what GET returns from the API.

    An attacker who reads a secret from lengths (BREACH) needs a browser that sends the secret's
    credentials by itself. The API takes a token in a header, never a cookie; the answer that holds
    a token is one to a POST. The admin, which has cookies, is left as it is.
    """
    gzip = cast(GetResponse, GZipMiddleware(get_response))

    def middleware(request: HttpRequest) -> HttpResponseBase:
        is_readable = request.method == "GET" and request.path_info.startswith(API_PREFIX)
        return gzip(request) if is_readable else get_response(request)

    return middleware


def problem_details(get_response: GetResponse) -> GetResponse:
    """Answer errors of the API as RFC 9457 has them, where the client accepts that by name."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        is_error = response.status_code >= HTTPStatus.BAD_REQUEST and not response.streaming
        if (
            is_error
            and request.path_info.startswith(API_PREFIX)
            and accepts_problem_details(request.headers.get("Accept", ""))
            and response.headers.get("Content-Type", "").startswith("application/json")
        ):
            body = json.loads(response.content)  # type: ignore[attr-defined]
            if "errors" in body:
                response.content = problem(response.status_code, body)  # type: ignore[attr-defined]
                response.headers["Content-Type"] = PROBLEM_TYPE
        return response

    return middleware


def problem(status: int, body: dict) -> bytes:
    """Return an error of the API as problem details, with its list of errors as an extension."""
    first = body["errors"][0]
    details = {
        "type": "about:blank",
        "title": str(TITLES.get(HTTPStatus(status), HTTPStatus(status).phrase)),
        "status": status,
        "detail": first["detail"],
        "code": first["code"],
        "errors": body["errors"],
    }
    return json.dumps(details).encode()
