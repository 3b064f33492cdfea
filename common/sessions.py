"""Connections to PostgreSQL that keep one session, past a pooler that shares sessions.

Where `DATABASE_DIRECT_URL` is set, `DATABASE_URL` names a pooler in transaction mode: it gives each
transaction the session that is free just then. What outlives a transaction (a lock of a session, a
setting made with SET) needs the direct URL.
"""

import contextlib
import logging
from collections.abc import Iterator

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)

DIRECT = "direct"
"""The database of the settings that DATABASE_DIRECT_URL makes."""
_CONFIGURED_NAME = settings.DATABASES[DEFAULT_DB_ALIAS]["NAME"]
"""What DATABASE_URL calls the database; a test's is called otherwise by the time it is used."""


def is_pooled() -> bool:
    """Return whether a pooler stands between this process and PostgreSQL."""
    return DIRECT in connections


def direct_connection() -> BaseDatabaseWrapper:
    """Return a connection with a session of its own, not open yet. The caller closes it.

    Django does not know it, so it closes it neither after a request nor after a task.
    """
    alias = DIRECT if is_pooled() else DEFAULT_DB_ALIAS
    direct = connections[alias].copy(DEFAULT_DB_ALIAS)
    if direct.settings_dict["NAME"] == _CONFIGURED_NAME:
        direct.settings_dict["NAME"] = connections[DEFAULT_DB_ALIAS].settings_dict["NAME"]
    direct.settings_dict["CONN_MAX_AGE"] = None
    return direct


@contextlib.contextmanager
def past_the_pooler() -> Iterator[None]:
    """Have all queries of this thread keep to one session; without a pooler they do so anyway."""
    if not is_pooled():
        yield
        return
    pooled = connections[DEFAULT_DB_ALIAS]
    pooled.close()
    direct = connections[DEFAULT_DB_ALIAS] = direct_connection()
    try:
        yield
    finally:
        direct.close()
        connections[DEFAULT_DB_ALIAS] = pooled


def statement_timeout_set(connection: BaseDatabaseWrapper) -> None:
    """Have PostgreSQL give the connection's role, in this database, the usual limit of a statement.

    A pooler's connections can be given none. It holds for sessions that begin from now on.
    """
    with connection.cursor() as cursor:
        database = connection.ops.quote_name(connection.settings_dict["NAME"])
        cursor.execute(
            f"ALTER ROLE CURRENT_USER IN DATABASE {database} SET statement_timeout = %s",
            [f"{settings.CHAMPIPY_STATEMENT_TIMEOUT_S}s"],
        )


class SessionLock:
    """An advisory lock of PostgreSQL on its own connection; it ends when that connection ends."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._connection = direct_connection()
        self._is_held = False

    def acquire(self) -> bool:
        """Return whether this process holds the lock, after one attempt to get it if it does not.

        A lost connection loses the lock.
        """
        try:
            with self._connection.cursor() as cursor:
                if self._is_held:
                    cursor.execute("SELECT 1")
                else:
                    cursor.execute("SELECT pg_try_advisory_lock(%s)", [self._number])
                    self._is_held = cursor.fetchone()[0]
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The connection of an advisory lock was lost: %s", error)
            self._is_held = False
            self._connection.close()
        return self._is_held

    def release(self) -> None:
        """Unlock, then close the connection, as closing alone frees the lock a moment later."""
        if self._is_held:
            self._is_held = False
            with (
                contextlib.suppress(DatabaseError, InterfaceError),
                self._connection.cursor() as cursor,
            ):
                cursor.execute("SELECT pg_advisory_unlock(%s)", [self._number])
        self._connection.close()


@contextlib.contextmanager
def session_lock(number: int) -> Iterator[bool]:
    """Yield whether no other process holds the lock; hold it meanwhile, if so.

    A process that dies lets go of it with its connection.
    """
    lock = SessionLock(number)
    try:
        yield lock.acquire()
    finally:
        lock.release()
