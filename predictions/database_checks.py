"""System checks that ask the database (`migrate` and `check --database default` run them)."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError

from predictions.vector_services import NO_VECTORS, has_vectors


@register(Tags.database)
def vector_extension(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Return a warning if the database can't search for similar photos."""
    if not databases:
        return []
    try:
        if has_vectors():
            return []
    except DatabaseError as error:
        return [Warning(f"The database could not be asked: {error}", id="champipy.W005")]
    return [
        Warning(
            str(NO_VECTORS),
            hint="Install pgvector on the server, let a superuser run CREATE EXTENSION vector in "
            "ChampiPy's database, and run ./champipy prepare_similar.",
            id="champipy.W006",
        )
    ]
