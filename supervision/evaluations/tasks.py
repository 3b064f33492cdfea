"""Celery tasks of evaluations (champipy_site/celery.py says how this module is found)."""

from celery import shared_task

from supervision.evaluations.on_demand import evaluation_run


@shared_task
def evaluate_version(version_id: int) -> None:
    """Evaluate a version on the present evaluation set (worker monitoring)."""
    evaluation_run(version_id=version_id)
