"""System checks for a service that others can reach (`manage.py check --deploy`)."""

import ipaddress
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from accounts.models import User
from accounts.services import PUBLISHED_PASSWORDS


@register(Tags.security, deploy=True)
def published_passwords(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Return an error if a seeded login still has its published password and DEBUG is off."""
    if settings.DEBUG:
        return []
    try:
        hashes = dict(
            User.objects.filter(username__in=PUBLISHED_PASSWORDS, is_active=True).values_list(
                "username", "password"
            )
        )
    except DatabaseError as error:
        return [
            Warning(
                f"The logins could not be read, so their passwords were not checked: {error}",
                hint="Start PostgreSQL (or set DATABASE_URL), run `migrate`, and check again.",
                id="champipy.W001",
            )
        ]
    unchanged = sorted(
        name
        for name, encoded in hashes.items()
        if check_password(PUBLISHED_PASSWORDS[name], encoded)
    )
    if not unchanged:
        return []
    return [
        Error(
            "These logins still have the password from ChampiPy's documentation: "
            f"{', '.join(unchanged)}.",
            hint="Give each login a new password with `./champipy changepassword NAME`, "
            "or deactivate it in the admin.",
            id="champipy.E001",
        )
    ]


@register(Tags.security, deploy=True)
def production_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Return a message for each setting that is unsafe or unusable outside development."""
    messages: list[CheckMessage] = []
    if settings.DEBUG:
        messages.append(
            Error(
                "DEBUG is on: error pages would show settings and source code to everyone.",
                hint="Remove DEBUG from the environment and from .env.",
                id="champipy.E002",
            )
        )
    if set(settings.ALLOWED_HOSTS) <= {"localhost", "127.0.0.1", "[::1]"}:
        messages.append(
            Warning(
                "ALLOWED_HOSTS contains only this machine; requests to other host names get a 400.",
                hint="Set ALLOWED_HOSTS to the host names that users will type.",
                id="champipy.W002",
            )
        )
    if settings.TRUSTED_PROXIES == 0 and (signs := _signs_of_a_proxy()):
        messages.append(
            Warning(
                f"TRUSTED_PROXIES is 0, but {' and '.join(signs)} imply that a proxy is in front: "
                "all clients have the proxy's address, so a few wrong passwords for a name lock it "
                "for everybody, and all share one rate limit of logins.",
                hint="Set TRUSTED_PROXIES to the number of proxies that add to X-Forwarded-For. "
                "If clients connect to ChampiPy directly, ignore this.",
                id="champipy.W004",
            )
        )
    if settings.CHAMPIPY_UNNEEDED_SECRETS:
        messages.append(
            Warning(
                f"The process {settings.CHAMPIPY_PROCESS} has secrets that it does not need: "
                + ", ".join(settings.CHAMPIPY_UNNEEDED_SECRETS),
                hint="Take them out of its environment, so that nobody can take them from it.",
                id="champipy.W009",
            )
        )
    if settings.CHAMPIPY_FETCH_ALLOW:
        messages.append(
            Warning(
                "CHAMPIPY_FETCH_ALLOW lets users' URLs reach private addresses: "
                + ", ".join(sorted(settings.CHAMPIPY_FETCH_ALLOW)),
                hint="Leave it empty unless these addresses serve photos to everyone.",
                id="champipy.W003",
            )
        )
    return messages


def _signs_of_a_proxy() -> list[str]:
    """Return the names of the settings that only make sense behind a proxy."""
    signs = []
    if settings.USE_HTTPS:
        signs.append("USE_HTTPS")
    if settings.CSRF_TRUSTED_ORIGINS:
        signs.append("CSRF_TRUSTED_ORIGINS")
    if any(host != "localhost" and not _is_address(host) for host in settings.ALLOWED_HOSTS):
        signs.append("ALLOWED_HOSTS")
    return signs


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
