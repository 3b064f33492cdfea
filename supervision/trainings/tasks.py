"""Celery tasks of training runs: each calls one service."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from mlmodels.run_services import run_release
from supervision.trainings.services import run_work_next, runs_watch

TRAINING_NODE = "training@"
"""Prefix of the training worker's node name."""


@shared_task
def work_next_run() -> None:
    """Carry out the oldest queued run in the training worker. May be sent at any time."""
    run_work_next()


@shared_task
def watch_runs() -> None:
    """Recover runs that lost their process and wake the worker; sent by beat every ten seconds."""
    runs_watch()


@shared_task
def track_runs() -> None:
    """Tell MLflow of runs that have ended; sent by beat every minute where it is switched on."""
    from supervision.trainings.tracking import runs_track

    runs_track()


@worker_shutting_down.connect
def release_run_on_shutdown(sender: str, **kwargs: Any) -> None:
    """Requeue the run when the training worker is told to stop; waiting could take half an hour."""
    if str(sender).startswith(TRAINING_NODE):
        run_release()
