"""Celery's side of supervision: each task calls one service."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from mlmodels.run_services import run_release
from supervision.trainings.services import run_work_next, runs_watch

TRAINING_NODE = "training@"
"""How the name of the worker begins that works runs."""


@shared_task
def work_next_run() -> None:
    """Worker training: the oldest queued run. Anybody may send it, at any time."""
    run_work_next()


@shared_task
def watch_runs() -> None:
    """Beat, every ten seconds: recover runs that lost their process, and wake the worker."""
    runs_watch()


@worker_shutting_down.connect
def hand_run_back(sender: str, **kwargs: Any) -> None:
    """Worker training, told to stop: half an hour is too long to wait for."""
    if str(sender).startswith(TRAINING_NODE):
        run_release()
