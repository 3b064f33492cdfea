"""The API's one shape of errors, for what Django REST framework does not see by itself too."""

import logging

from django.db import InterfaceError, OperationalError
from django.http import Http404
from drf_standardized_errors.handler import ExceptionHandler as StandardizedHandler
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from champipy_site.health import PublicView

logger = logging.getLogger(__name__)


class DatabaseUnavailable(APIException):
    status_code = 503
    default_code = "database_unavailable"
    default_detail = "The database does not answer. Try again in a moment."


class ExceptionHandler(StandardizedHandler):
    """Tells a database that is away (503) from a fault of ours (500)."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, OperationalError | InterfaceError):
            logger.error("The database does not answer: %s", exc)
            return DatabaseUnavailable()
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: APIException, response: Response) -> None:
        """Log faults of ours; a photo's server that is down is an answer like any other."""
        if not isinstance(self.exc, APIException | OperationalError | InterfaceError):
            super().report_exception(exc, response)
        elif response.status_code >= 500:
            # Else Django logs every status from 500 on.
            response._has_been_logged = True  # type: ignore[attr-defined]


class UnknownPathView(PublicView):
    """Any other path below /api/: a 404 in JSON."""

    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise Http404("There is no such path. /api/v1/docs lists those that there are.")
