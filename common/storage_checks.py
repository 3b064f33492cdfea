"""System check that asks the file store (`migrate` and `check --database default` run it)."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register

from common.storage import StorageUnavailable, file_store


@register(Tags.database)
def object_store(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Return why the object store that CHAMPIPY_STORAGE_URL names cannot be used, if it cannot.

    A store that does not answer may do so later, so that is only a warning. A store that refuses
    will go on to refuse.
    """
    store = file_store("incoming")
    if not databases or not store.is_remote:
        return []
    try:
        store.try_out()
    except StorageUnavailable as unavailable:
        if unavailable.is_refusal:
            return [
                Error(
                    f"The object store cannot be used. {unavailable}",
                    hint=unavailable.advice,
                    id="champipy.E006",
                )
            ]
        return [
            Warning(
                f"The object store cannot be used now. {unavailable}",
                hint="Until it answers, new photos are refused with storage_unavailable. "
                f"{unavailable.advice}",
                id="champipy.W009",
            )
        ]
    except OSError as damaged:
        return [
            Error(
                f"The object store returned other bytes than it was sent: {damaged}",
                hint="Look for what changes answers between ChampiPy and the store.",
                id="champipy.E007",
            )
        ]
    return []
