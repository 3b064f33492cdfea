"""Writes on accounts: seeded logins and tokens."""

from datetime import datetime

from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.models import User

PUBLISHED_PASSWORDS = {
    "alice": "wonderland",
    "bob": "builder",
    "clementine": "mandarine",
    "admin": "admin",
}
ADMINISTRATORS = {"bob", "admin"}


class LoginLocked(APIException):
    """Too many wrong passwords for this name from this address."""

    status_code = 429
    default_code = "login_locked"
    default_detail = (
        "Too many wrong passwords for this name from this address. Try again later, "
        "or ask an administrator to remove the lock (Access attempts in the admin)."
    )


def client_address(request: HttpRequest) -> str:
    """Return the client's address, as the rate limits see it.

    Only the last TRUSTED_PROXIES entries of X-Forwarded-For are trusted; a client can't forge them.
    """
    return BaseThrottle().get_ident(Request(request))


def login_locked_response(
    request: HttpRequest, response: HttpResponse, credentials: dict | None
) -> HttpResponse:
    """Return the API's own 429 unchanged; for the admin's login page, the same in plain text."""
    if response.status_code == LoginLocked.status_code:
        return response
    return HttpResponse(
        LoginLocked.default_detail, status=LoginLocked.status_code, content_type="text/plain"
    )


def logins_seed() -> list[str]:
    """Create the specification's four logins if there is no user at all; return the created names.

    Where there are users, an administrator decides which logins exist: one that was deleted does
    not come back with its published password.
    """
    if User.objects.exists():
        return []
    logins = [
        User(username=name, is_staff=name in ADMINISTRATORS, is_superuser=name in ADMINISTRATORS)
        for name in PUBLISHED_PASSWORDS
    ]
    for user in logins:
        user.set_password(PUBLISHED_PASSWORDS[user.username])
    # All or none; and of two stacks that start at once on one database, one creates them.
    User.objects.bulk_create(logins, ignore_conflicts=True)
    return [user.username for user in logins]


def token_create(*, request: HttpRequest, username: str, password: str) -> tuple[str, datetime]:
    """Check a password; return a new token and when it expires. Only the token's hash is stored.

    Raises LoginLocked after too many failures, AuthenticationFailed for a wrong name or password.
    """
    user = authenticate(request, username=username, password=password)
    if getattr(request, "axes_locked_out", False):
        raise LoginLocked
    if user is None:
        raise AuthenticationFailed("Wrong name or password.")
    instance, token = get_token_model().objects.create(user=user)
    return token, instance.expiry


def expired_tokens_delete() -> int:
    """Delete the expired tokens; return how many were deleted."""
    return int(get_token_model().objects.filter(expiry__lt=timezone.now()).delete()[0])
