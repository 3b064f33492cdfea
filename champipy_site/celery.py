"""The Celery application, configured by the CELERY_… settings."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "champipy_site.settings")

app = Celery("champipy")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()  # of the installed apps
app.autodiscover_tasks(
    f"supervision.{name}" for name in ("evaluations", "trainings", "retention", "monitoring")
)

# By default Celery opens a new database connection for each task, which takes a twentieth of the
# time for scoring a photo. Here tasks keep their connection, as requests do: it is checked before
# each task and replaced when dead.
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize


@setup_logging.connect
def keep_djangos_logging(**kwargs: Any) -> None:
    """Keep Celery from setting up logging: Django has done so, with LOG_LEVEL and request ids."""


@task_prerun.connect
def name_request_in_logs(task: Any, **kwargs: Any) -> None:
    """Have the lines that a task logs name the request that sent it."""
    from common.request_id import request_id

    request_id.set(getattr(task.request, "request_id", None) or "")


@task_postrun.connect
def forget_request(**kwargs: Any) -> None:
    """Have what this thread logs later name no request."""
    from common.request_id import request_id

    request_id.set("")


@task_prerun.connect
@task_postrun.connect
def close_old_database_connections(**kwargs: Any) -> None:
    """Close database connections that are dead or older than CONN_MAX_AGE.

    The next query opens a new one.
    """
    from django.db import close_old_connections

    close_old_connections()
