from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import APIException, Throttled
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.throttling import LoginThrottle
from accounts.backends import LoginBusy


def admin_login(request: HttpRequest) -> HttpResponse:
    """Return the admin's login page. Its logins count in the same rate limit as the API's."""
    throttle = LoginThrottle()
    if request.method == "POST" and not throttle.allow_request(Request(request), APIView()):
        return _refusal(Throttled(throttle.wait()))
    try:
        return admin.site.login(request)
    except LoginBusy as error:
        return _refusal(error)


def _refusal(error: APIException) -> HttpResponse:
    """Return an error of the API as plain text, with its Retry-After."""
    return HttpResponse(
        str(error.detail),
        status=error.status_code,
        content_type="text/plain",
        headers={"Retry-After": str(int(error.wait))},  # type: ignore[attr-defined]
    )
