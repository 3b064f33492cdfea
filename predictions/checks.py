"""System checks of the settings that say how ChampiPy asks other sites."""

import re
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from predictions.photo_urls import FetchError, check_target, mushroom_observer_site


@register()
def mushroom_observer_url(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Return an error if CHAMPIPY_MUSHROOM_OBSERVER_URL is no address that may be asked."""
    hint = "Set it to a scheme and a host, like https://mushroomobserver.org, or leave it out."
    try:
        site = mushroom_observer_site()
    except FetchError as error:
        return [_mushroom_observer_error(str(error.detail), hint)]
    if site.path != "/" or "#" in settings.CHAMPIPY_MUSHROOM_OBSERVER_URL:
        return [_mushroom_observer_error("It has a path, a query or a fragment.", hint)]
    try:
        check_target(site, settings.CHAMPIPY_FETCH_ALLOW)
    except FetchError as error:
        hint = f"If you run that site yourself, add {site.address} to CHAMPIPY_FETCH_ALLOW."
        return [_mushroom_observer_error(str(error.detail), hint)]
    return []


def _mushroom_observer_error(reason: str, hint: str) -> CheckMessage:
    value = settings.CHAMPIPY_MUSHROOM_OBSERVER_URL
    message = f"CHAMPIPY_MUSHROOM_OBSERVER_URL is {value!r}, which cannot be asked. {reason}"
    return Error(message, hint=hint, id="champipy.E003")


@register()
def contact(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Return an error if CHAMPIPY_CONTACT cannot stand in a User-Agent header."""
    if re.fullmatch(r"[ -'*-~]{0,200}", settings.CHAMPIPY_CONTACT):
        return []
    return [
        Error(
            f"CHAMPIPY_CONTACT is {settings.CHAMPIPY_CONTACT!r}, which no request can carry.",
            hint="Give a mail address or the address of a page, in ASCII, without parentheses, "
            "of at most 200 characters.",
            id="champipy.E004",
        )
    ]
