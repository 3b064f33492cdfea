"""Checks passwords: a few at a time, and each counted as a failure beforehand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axes.backends import AxesBackend, AxesStandaloneBackend
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_credentials
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException

from accounts.hashers import MAX_CHECKS

MAX_WAIT_S = 1
"""How long a login waits for its turn. It occupies a web thread meanwhile."""

_turns = threading.BoundedSemaphore(MAX_CHECKS)


class LoginBusy(APIException):
    """Too many passwords are being checked at this moment."""

    status_code = 503
    default_code = "login_busy"
    default_detail = _("Too many people are logging in at this moment. Try again in a few seconds.")
    wait = 3  # seconds, for the header Retry-After


@contextmanager
def password_check_turn() -> Iterator[None]:
    """Let at most MAX_CHECKS logins of this process go on; raise LoginBusy after MAX_WAIT_S."""
    if not _turns.acquire(timeout=MAX_WAIT_S):
        raise LoginBusy
    try:
        yield
    finally:
        _turns.release()


class PasswordBackend(AxesBackend):
    """The only backend that checks passwords, for the API and the admin alike.

    The lock is looked at first, which is cheap. Then the login waits for its turn, is counted as a
    failure, and only then is the password checked; a right one clears the count.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> AbstractBaseUser:
        """Return the user; raise PermissionDenied, so that no other backend is asked, or LoginBusy.

        `request.axes_locked_out` tells a lock from a wrong password.
        """
        AxesStandaloneBackend.authenticate(self, request, username, password, **kwargs)
        credentials = get_credentials(username)
        handler = AxesProxyHandler.get_implementation()
        with password_check_turn():
            if not handler.attempt_begin(request, credentials):
                raise PermissionDenied
            user = ModelBackend.authenticate(self, request, username, password, **kwargs)
            if user is None:
                raise PermissionDenied
            handler.attempt_succeeded(request, credentials)
        return user
