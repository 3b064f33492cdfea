"""The Celery application: its settings are the CELERY_… names of settings.py."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "champipy_site.settings")

app = Celery("champipy")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()  # of the installed apps
app.autodiscover_tasks(f"supervision.{name}" for name in ("evaluations", "trainings", "monitoring"))

# Celery would open a new database connection for each task, a twentieth of the time that scoring a
# photo takes. Here tasks keep theirs as requests do: looked at before each, replaced when dead.
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize


@task_prerun.connect
@task_postrun.connect
def look_at_database_connections(**kwargs: Any) -> None:
    """Close what is dead or older than CONN_MAX_AGE; the next query opens a new one."""
    from django.db import close_old_connections

    close_old_connections()
