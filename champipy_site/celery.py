"""The Celery application, configured by the CELERY_… settings."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging

import champipy_site.task_signals  # noqa: F401 - connects its functions

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
