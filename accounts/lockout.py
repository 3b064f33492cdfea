"""Who may try a password: the client's address, the lock after wrong passwords, and its answers."""

import ipaddress
import re
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


class LoginLocked(APIException):
    """Too many wrong passwords for this name from this address."""

    status_code = 429
    default_code = "login_locked"
    default_detail = _(
        "Too many wrong passwords for this name from this address. Try again later, "
        "or ask an administrator to remove the lock (Access attempts in the admin)."
    )


def login_locked_response(
    request: HttpRequest, response: HttpResponse, credentials: dict | None
) -> HttpResponse:
    """Return the API's own 429 unchanged; for the login pages, the same as a page."""
    if response.status_code == LoginLocked.status_code:
        return response
    context = {"detail": LoginLocked.default_detail}
    return render(request, "accounts/refused.html", context, status=LoginLocked.status_code)


def client_address(request: HttpRequest) -> str | None:
    """Return the client's IP address, as the rate limits and the lock see it.

    Only the last TRUSTED_PROXIES entries of X-Forwarded-For are trusted; a client can't forge them.
    An entry that is no address counts as the connection's own. None: the connection has no address
    either (a Unix socket).
    """
    forwarded = BaseThrottle().get_ident(Request(request)) or ""
    return _parse_address(forwarded) or _parse_address(request.META.get("REMOTE_ADDR") or "")


def _parse_address(text: str) -> str | None:
    """Return the IP address in `text`, which may have a port or brackets; None if there is none.

    An IPv4 address in IPv6 form is returned as IPv4, and the zone of an IPv6 address is dropped.
    """
    match = re.fullmatch(r"\[([^\]]*)\](?::[0-9]+)?|([^:]*):[0-9]+", text)
    host = (match[1] or match[2] or "") if match else text
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)


class LockoutHandler(AxesDatabaseHandler):
    """Axes's handler, which counts a failure before the password is checked.

    Axes counts it afterwards, so that guesses sent at the same time would all be checked.
    """

    def attempt_begin(self, request: Any, credentials: dict) -> bool:
        """Count a failure and return True, or return False if there are too many already.

        Attempts on one name from one address wait for each other here, so that at most
        AXES_FAILURE_LIMIT of them get True, however many come at once.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            key = f"login of {credentials['username']} from {request.axes_ip_address}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
            if not self.is_allowed(request, credentials):
                request.axes_locked_out = True
                return False
            super().user_login_failed(__name__, credentials, request)
        request.login_failure_counted = True
        return True

    def attempt_succeeded(self, request: Any, credentials: dict) -> None:
        """Forget the failures of this name from this address, the one just counted included."""
        self.reset_user_attempts(request, credentials)
        request.axes_locked_out = False

    def user_login_failed(
        self,
        sender: Any,
        credentials: dict,
        request: HttpRequest | None = None,
        **kwargs: Any,
    ) -> None:
        """Count a failure, unless `attempt_begin` has."""
        if not getattr(request, "login_failure_counted", False):
            super().user_login_failed(sender, credentials, request, **kwargs)
