"""System checks of the way to PostgreSQL (`migrate` and `check --database default` run them)."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError, connection

from common.sessions import direct_connection, is_pooled


@register(Tags.database)
def sessions(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Return warnings if a pooler takes what ChampiPy needs a session for, or a time limit away."""
    if not databases:
        return []
    messages: list[CheckMessage] = []
    try:
        with closing(direct_connection()) as direct, direct.cursor() as cursor:
            # PostgreSQL says at the start of a session which process it is. A pooler cannot.
            told = direct.connection.info.backend_pid
            cursor.execute("SELECT pg_backend_pid()")
            if cursor.fetchone() != (told,):
                messages.append(_no_session())
        if is_pooled():
            with connection.cursor() as cursor:
                cursor.execute("SHOW statement_timeout")
                if cursor.fetchone() == ("0",):
                    messages.append(_no_time_limit())
    except DatabaseError as error:
        messages.append(Warning(f"The database could not be asked: {error}", id="champipy.W005"))
    return messages


def _no_session() -> CheckMessage:
    name = "DATABASE_DIRECT_URL" if is_pooled() else "DATABASE_URL"
    return Warning(
        f"{name} names a pooler. If it pools transactions, two beats may send tasks at a time.",
        hint="Set DATABASE_DIRECT_URL to PostgreSQL itself, or to a pooler of sessions.",
        id="champipy.W007",
    )


def _no_time_limit() -> CheckMessage:
    return Warning(
        "Statements through the pooler have no time limit.",
        hint="Run `migrate`, which gives the role of DATABASE_DIRECT_URL a limit of 30 s, then "
        "have the pooler reconnect. If it logs in with another role, give that one the limit: "
        "ALTER ROLE name SET statement_timeout = '30s'.",
        id="champipy.W008",
    )
