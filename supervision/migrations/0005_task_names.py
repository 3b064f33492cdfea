"""Gives the schedules in the database the names that supervision's tasks have now."""

from django.db import migrations

NAMES = {
    "supervision.monitoring_tasks.deliver_alert_messages":
        "supervision.monitoring.tasks.deliver_alert_messages",
    "supervision.monitoring_tasks.run_check": "supervision.monitoring.tasks.run_check",
    "supervision.monitoring_tasks.watch_service": "supervision.monitoring.tasks.watch_service",
    "supervision.tasks.watch_runs": "supervision.trainings.tasks.watch_runs",
    "supervision.tasks.work_next_run": "supervision.trainings.tasks.work_next_run",
}


def rename(apps, pairs):
    schedules = apps.get_model("django_celery_beat", "PeriodicTask").objects
    for before, after in pairs:
        schedules.filter(task=before).update(task=after)


def forwards(apps, schema_editor):
    rename(apps, NAMES.items())


def backwards(apps, schema_editor):
    rename(apps, ((after, before) for before, after in NAMES.items()))


class Migration(migrations.Migration):

    dependencies = [
        ("supervision", "0004_evaluation_sets_and_doubts"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(forwards, backwards)]
