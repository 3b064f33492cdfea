"""Tests that the schedule keeps Bob's changes, and that no task is sent twice."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from celery import current_app
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from champipy_site.beat import SingleScheduler
from champipy_site.celery import app
from tests.support.paths import PROJECT

pytestmark = pytest.mark.django_db(transaction=True)
QUEUE = "test-beat"
PERIOD_S = 2


def start_scheduler() -> SingleScheduler:
    """Return a scheduler that has just started, as after an upgrade."""
    return SingleScheduler(app=app, max_interval=5)


def test_checks_are_weekly_and_every_entry_has_a_task() -> None:
    start_scheduler().close()
    rows = {row.name: row for row in PeriodicTask.objects.all()}
    assert set(rows) == set(app.conf.beat_schedule)
    for name, kind in (("check-accuracy", "accuracy"), ("check-new-photos", "new_photos")):
        assert str(rows[name].interval) in ("every 7 days", "every 604800 seconds")
        assert json.loads(rows[name].args) == [kind]
    assert all(row.task in app.tasks for row in rows.values())
    off = {name for name, row in rows.items() if not row.enabled}
    assert off == {"poll-mushroom-observer"}, "Bob switches it on"
    # A task that is sent every few seconds must not pile up while no worker runs.
    assert rows["resend-stalled-predictions"].expire_seconds == 3


def test_bobs_changes_survive_a_restart_and_an_upgrade(monkeypatch) -> None:
    start_scheduler().close()
    daily, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    for name, change in (
        ("check-accuracy", {"interval": daily}),
        ("watch-runs", {"enabled": False}),
    ):
        row = PeriodicTask.objects.get(name=name)
        for field, value in change.items():
            setattr(row, field, value)
        row.save()
    own = PeriodicTask.objects.create(
        name="Bob's own", task="supervision.monitoring.tasks.watch_service", interval=daily
    )
    before = {row["name"]: row for row in PeriodicTask.objects.values()}
    default = app.conf.beat_schedule
    for name, entry in list(default.items()):
        monkeypatch.setitem(default, name, {**entry, "schedule": 12345.0})
    new_entry = {"task": "accounts.tasks.delete_expired_tokens", "schedule": 60.0}
    monkeypatch.setitem(default, "new-in-this-version", new_entry)
    start_scheduler().close()
    after = {row["name"]: row for row in PeriodicTask.objects.values()}
    assert after.pop("new-in-this-version")["enabled"]
    assert after == before
    assert own.name in after


def test_entry_whose_task_no_longer_exists_is_switched_off() -> None:
    start_scheduler().close()
    interval = IntervalSchedule.objects.first()
    PeriodicTask.objects.create(
        name="old", task="supervision.trainings.tasks.removed", interval=interval
    )
    scheduler = start_scheduler()
    assert PeriodicTask.objects.get(name="old").enabled is False
    assert "old" not in scheduler.schedule
    scheduler.close()


def test_entry_that_the_broker_refused_stays_due(monkeypatch) -> None:
    scheduler = start_scheduler()
    PeriodicTask.objects.exclude(name="check-accuracy").delete()
    scheduler.tick()
    monkeypatch.setattr(SingleScheduler.Entry, "is_due", lambda entry: (True, 60.0))
    before = PeriodicTask.objects.get()
    assert before.last_run_at is None
    sent: list[str] = []

    def refuse(name: str, *args, **kwargs) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(app.tasks["supervision.monitoring.tasks.run_check"], "apply_async", refuse)
    scheduler._read_again()
    assert scheduler.tick() > 1, "it must not retry without a pause"
    after = PeriodicTask.objects.get()
    assert after.total_run_count == 0
    assert after.last_run_at is not None
    assert after.last_run_at <= before.date_changed
    monkeypatch.setattr(
        app.tasks["supervision.monitoring.tasks.run_check"],
        "apply_async",
        lambda args, *rest, **options: sent.append(args[0]),
    )
    scheduler.tick()
    assert sent == ["accuracy"]
    assert PeriodicTask.objects.get().total_run_count == 1
    scheduler.close()


Start = Callable[[], subprocess.Popen]


@pytest.fixture
def start_beat() -> Iterator[Start]:
    """Yield a function that starts a beat process on the test database."""
    database = connection.settings_dict
    url = (
        f"postgres://{database['USER']}:{database['PASSWORD']}"
        f"@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    processes: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "celery", "-A", "champipy_site", "beat"]
        command += ["--scheduler", "champipy_site.beat:SingleScheduler", "--pidfile="]
        environment = os.environ | {"DATABASE_URL": url}
        processes.append(subprocess.Popen(command, cwd=PROJECT, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def holder_pid() -> int | None:
    """Return the pid of the PostgreSQL process that holds beat's lock, or None."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        row = cursor.fetchone()
    return row[0] if row else None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_beats_one_killed_and_restarted_send_nothing_twice(start_beat: Start) -> None:
    broker = current_app.connection_for_write().channel().client
    broker.delete(QUEUE)
    start_scheduler().close()
    interval = IntervalSchedule.objects.create(every=PERIOD_S, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.all().delete()
    for name, entry in app.conf.beat_schedule.items():  # so that no beat adds them
        PeriodicTask.objects.create(
            name=name, task=entry["task"], interval=interval, enabled=name == "check-accuracy",
            queue=QUEUE, args='["accuracy"]',
        )  # fmt: skip
    began = time.monotonic()

    def sent() -> int:
        return PeriodicTask.objects.get(name="check-accuracy").total_run_count

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 90
        while sent() < count:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    first = start_beat()
    wait_for(1)
    second = start_beat()  # on standby
    wait_for(4)
    holder = holder_pid()
    first.kill()
    wait_for(7)  # the second one takes over
    assert holder_pid() != holder
    start_beat()
    wait_for(10)
    second.kill()
    wait_for(13)
    assert broker.llen(QUEUE) - sent() in (-1, 0)  # -1: recorded, but not sent yet
    ids = {json.loads(raw)["headers"]["id"] for raw in broker.lrange(QUEUE, 0, -1)}
    assert len(ids) == broker.llen(QUEUE)
    assert broker.llen(QUEUE) <= (time.monotonic() - began) / PERIOD_S + 1
    broker.delete(QUEUE)
