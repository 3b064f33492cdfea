"""What limits the pages that check a password, as it limits the API's logins."""

import functools
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework.exceptions import APIException, Throttled
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.throttling import FixedWindowThrottle, LoginThrottle
from accounts.backends import LoginBusy

View = Callable[[HttpRequest], HttpResponseBase]


def with_login_limits(view: View) -> View:
    """Count the logins of a page in the same rate limit as the API's; tell refusals as a page."""

    @functools.wraps(view)
    def limited(request: HttpRequest) -> HttpResponseBase:
        try:
            if request.method == "POST":
                count_request(request, LoginThrottle())
            return view(request)
        except (Throttled, LoginBusy) as error:
            return login_refusal(request, error)

    return limited


def count_request(request: HttpRequest, throttle: FixedWindowThrottle) -> None:
    """Count a request of a page in one of the API's rate limits; raise Throttled beyond it."""
    counted = Request(request)
    counted.user = request.user
    if not throttle.allow_request(counted, APIView()):
        raise Throttled(throttle.wait())


def login_refusal(request: HttpRequest, error: APIException) -> HttpResponse:
    """Return an error of the API as a page, with its Retry-After if it has one."""
    response = render(
        request, "accounts/refused.html", {"detail": error.detail}, status=error.status_code
    )
    if (wait := getattr(error, "wait", None)) is not None:
        response.headers["Retry-After"] = str(int(wait))
    return response
