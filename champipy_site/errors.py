"""The API's error format, also for errors that Django REST framework does not handle itself."""

import logging

from django.db import InterfaceError, OperationalError
from django.http import Http404
from drf_standardized_errors.handler import ExceptionHandler as StandardizedHandler
from psycopg2.errors import QueryCanceled
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from champipy_site.health import PublicView

logger = logging.getLogger(__name__)


class DatabaseUnavailable(APIException):
    """PostgreSQL cannot be reached or does not answer."""

    status_code = 503
    default_code = "database_unavailable"
    default_detail = "The database does not answer. Try again in a moment."


class QueryTimeout(APIException):
    """PostgreSQL ended a query that took longer than statement_timeout."""

    status_code = 503
    default_code = "query_timeout"
    default_detail = (
        "The database needed too long for this request, so it was ended. Ask for less at a time, "
        "or try again later."
    )


class ExceptionHandler(StandardizedHandler):
    """Answers 503 if the database is unavailable or too slow, and 500 for errors of ChampiPy."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc.__cause__, QueryCanceled):
            logger.error("A query was ended: %s", exc)
            return QueryTimeout()
        if isinstance(exc, OperationalError | InterfaceError):
            logger.error("The database does not answer: %s", exc)
            return DatabaseUnavailable()
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: APIException, response: Response) -> None:
        """Log only errors in ChampiPy's code, not, for example, that a photo's server is down."""
        if not isinstance(self.exc, APIException | OperationalError | InterfaceError):
            super().report_exception(exc, response)
        elif response.status_code >= 500:
            # Otherwise Django logs every response with status 500 or above.
            response._has_been_logged = True  # type: ignore[attr-defined]


class UnknownPathView(PublicView):
    """Answers 404 in JSON for every unknown path below /api."""

    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise Http404("There is no such path. /api/v1/docs lists all paths.")
