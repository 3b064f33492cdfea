"""Only the beat that holds the lock sends tasks."""

from collections.abc import Iterator

import pytest
from django.db import connection

from champipy_site.beat import STANDBY_SECONDS, SingleScheduler
from champipy_site.celery import app
from common.sessions import SessionLock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lock() -> Iterator[SessionLock]:
    lock = SessionLock(1)
    yield lock
    lock.release()


def end_holder() -> None:
    """End the connection that holds the advisory lock, as a restart of the server would."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchall() == [(True,)]


def test_lock_has_one_holder_until_it_is_released(lock):
    other = SessionLock(1)
    assert [lock.acquire(), lock.acquire(), other.acquire()] == [True, True, False]
    lock.release()
    assert other.acquire()
    other.release()


def test_lost_connection_loses_the_lock_which_can_be_acquired_again(lock):
    assert lock.acquire()
    end_holder()
    assert not lock.acquire()
    assert lock.acquire()


def test_standby_sends_nothing_until_the_active_beat_has_stopped(monkeypatch):
    sent: list[str] = []
    monkeypatch.setattr(SingleScheduler.Entry, "is_due", lambda entry: (True, 60.0))
    first, second = (SingleScheduler(app=app, max_interval=5) for _ in range(2))
    for name, scheduler in (("first", first), ("second", second)):
        monkeypatch.setattr(
            scheduler, "apply_entry", lambda entry, producer=None, name=name: sent.append(name)
        )
    first.tick()
    assert sent == ["first"]
    assert second.tick() == STANDBY_SECONDS
    assert sent == ["first"]
    first.close()
    second.tick()
    assert sent == ["first", "second"]
    second.close()


def test_beat_that_is_started_without_options_is_single_too():
    beat = app.Beat()
    service = beat.Service(app=app, scheduler_cls=beat.scheduler_cls)
    assert isinstance(service.get_scheduler(lazy=True), SingleScheduler)
