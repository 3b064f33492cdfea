"""Runs code in a thread that waits for what this test's transaction has locked."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

from tests.support.stack import eventually

Result = TypeVar("Result")


def start_blocked(work: Callable[[], Result]) -> Future[Result]:
    """Start `work` in a thread, return when it waits for a lock; its result comes later.

    Call it inside a transaction that has written what `work` writes, in a test that commits.
    """

    def run() -> Result:
        try:
            return work()
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    pool.shutdown(wait=False)
    assert eventually(lambda: future.done() or is_somebody_waiting(), 30)
    assert not future.done(), "it did not wait"
    return future


def is_somebody_waiting() -> bool:
    """Return whether any connection waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0] > 0
