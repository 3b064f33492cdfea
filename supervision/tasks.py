"""Celery's side of supervision: each task calls one service."""

from celery import shared_task

from supervision.run_services import run_work_next, runs_watch


@shared_task
def work_next_run() -> None:
    """Worker training: the oldest queued run. Anybody may send it, at any time."""
    run_work_next()


@shared_task
def watch_runs() -> None:
    """Beat, every ten seconds: recover runs that lost their process, and wake the worker."""
    runs_watch()
