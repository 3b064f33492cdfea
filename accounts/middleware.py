"""Middleware of accounts: the language that a user has chosen."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import translation


def own_language(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Show pages in the language that the user has chosen, on whatever machine.

    Without a choice, and for the API, LocaleMiddleware decides by cookie and Accept-Language.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        # Only a request with a session can be somebody's; others need no query.
        if "sessionid" in request.COOKIES:
            language: str = getattr(request.user, "language", "")  # nobody has none
            if language:
                translation.activate(language)
                request.LANGUAGE_CODE = language
        return get_response(request)

    return middleware
