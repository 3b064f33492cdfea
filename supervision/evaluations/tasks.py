"""Celery's side of evaluations (see champipy_site/celery.py for how this module is found)."""

from celery import shared_task

from supervision.evaluations.on_demand import evaluation_run


@shared_task
def evaluate_version(version_id: int) -> None:
    """Worker fetch, queue monitoring: measure a version on the present evaluation set."""
    evaluation_run(version_id=version_id)
