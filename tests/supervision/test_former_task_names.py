"""An upgrade finds messages and schedules under the names that tasks had before."""

import importlib
import time

import pytest
from celery import current_app
from django.apps import apps
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from supervision.models import Check
from supervision.tasks import FORMER_NAMES

migration = importlib.import_module("supervision.migrations.0005_task_names")


def test_former_names_are_registered_for_the_same_functions() -> None:
    for name, task in FORMER_NAMES.items():
        assert current_app.tasks[name].run is task.run
        assert task.name != name
    assert FORMER_NAMES.keys() >= migration.NAMES.keys()
    assert {FORMER_NAMES[name].name for name in migration.NAMES} == set(migration.NAMES.values())


@pytest.mark.django_db(transaction=True)
def test_a_worker_carries_out_a_message_with_a_former_name(workers) -> None:
    current_app.send_task("supervision.monitoring_tasks.run_check", ("new_photos",))
    deadline = time.monotonic() + 30
    while not Check.objects.filter(finished_at__isnull=False).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "nothing to check" in Check.objects.get().result


@pytest.mark.django_db
def test_schedules_get_the_new_names() -> None:
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    former = sorted(migration.NAMES)
    for name in [*former, "predictions.tasks.sweep_incoming_photos"]:
        PeriodicTask.objects.create(name=f"test {name}", task=name, interval=every)
    ours = PeriodicTask.objects.filter(name__startswith="test ").order_by("name")
    before = list(ours.values_list("task", flat=True))
    migration.forwards(apps, None)
    assert set(ours.values_list("task", flat=True)) == {
        *migration.NAMES.values(),
        "predictions.tasks.sweep_incoming_photos",
    }
    migration.backwards(apps, None)
    assert list(ours.values_list("task", flat=True)) == before
