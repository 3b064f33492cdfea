"""The API's error format, also for errors that Django REST framework does not handle itself."""

import logging
import sys

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views import defaults
from drf_standardized_errors.handler import ExceptionHandler as StandardizedHandler
from psycopg2.errors import QueryCanceled
from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from champipy_site.health import PublicView
from common.errors import error_body
from common.messages import Message
from common.storage import StorageUnavailable

logger = logging.getLogger(__name__)

API_PREFIX = "/api/"


class DatabaseUnavailable(APIException):
    """PostgreSQL cannot be reached or does not answer."""

    status_code = 503
    default_code = "database_unavailable"
    default_detail = _("The database does not answer. Try again in a moment.")


class QueryTimeout(APIException):
    """PostgreSQL ended a query that took longer than statement_timeout."""

    status_code = 503
    default_code = "query_timeout"
    default_detail = _(
        "The database needed too long for this request, so it was ended. Ask for less at a time, "
        "or try again later."
    )


class FilesUnavailable(APIException):
    """The object store of photos and models does not do what it is asked."""

    status_code = 503
    default_code = "storage_unavailable"
    default_detail = _("The store of photos and models does not answer. Try again in a moment.")


class RequestTooLarge(APIException):
    """The JSON or the form fields of a request are larger than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = 413
    default_code = "request_too_large"
    default_detail = _(
        "The request is too large. JSON and form fields may have 1 MB, a photo 10 MB."
    )


def refusal_of(error: Exception) -> APIException:
    """Return what the API answers to a request that Django refuses to read."""
    if isinstance(error, RequestDataTooBig):
        return RequestTooLarge()
    return ParseError(Message("The request is malformed: %(reason)s", reason=error))


class ExceptionHandler(StandardizedHandler):
    """Answers 503 if the database or the file store is unavailable, and 500 for errors of ChampiPy.

    Also if the database is too slow.
    """

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if failure := server_failure(exc):
            logger.error("%s: %s", failure.default_code, exc)
            return failure
        if isinstance(exc, SuspiciousOperation | MultiPartParserError):
            return refusal_of(exc)
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: APIException, response: Response) -> None:
        """Log only errors in ChampiPy's code, not, for example, that a photo's server is down."""
        if not isinstance(
            self.exc, APIException | OperationalError | InterfaceError | StorageUnavailable
        ):
            super().report_exception(exc, response)
        elif response.status_code >= 500:
            # Otherwise Django logs every response with status 500 or above.
            response._has_been_logged = True  # type: ignore[attr-defined]


class UnknownPathView(PublicView):
    """Answers 404 in JSON for every unknown path below /api."""

    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound(gettext("There is no such path. /api/v1/docs lists all paths."))


def api_error(status: int, code: str, detail: str) -> HttpResponse:
    """Return an error of the API outside its views."""
    body = error_body(status, code, detail)
    return HttpResponse(body, status=status, content_type="application/json")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refused before a view could."""
    if not request.path_info.startswith(API_PREFIX):
        return defaults.bad_request(request, exception)
    error = refusal_of(exception)
    return api_error(error.status_code, str(error.get_codes()), str(error.detail))


def server_failure(error: BaseException | None) -> APIException | None:
    """Return the 503 for an error of the database or the file store, or None for another error."""
    if isinstance(error, StorageUnavailable):
        return FilesUnavailable()
    if isinstance(error, DatabaseError) and isinstance(error.__cause__, QueryCanceled):
        return QueryTimeout()
    return DatabaseUnavailable() if isinstance(error, OperationalError | InterfaceError) else None


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after an error outside the API's views: in the admin, or in a middleware.

    Django calls it while it handles the exception.
    """
    is_api = request.path_info.startswith(API_PREFIX)
    failure = server_failure(sys.exception())
    if failure is None:
        server_error = gettext("Server Error (500)")
        return api_error(500, "error", server_error) if is_api else defaults.server_error(request)
    if is_api:
        response = api_error(503, failure.default_code, str(failure.detail))
    else:
        context = {
            "is_timeout": isinstance(failure, QueryTimeout),
            "is_storage": isinstance(failure, FilesUnavailable),
            "is_post": request.method == "POST",
        }
        response = HttpResponse(render_to_string("503.html", context), status=503)
    response.headers["Retry-After"] = "30"
    return response
