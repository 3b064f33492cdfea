"""Celery task of the retention (champipy_site/celery.py registers this module)."""

from celery import shared_task

from supervision.retention import services


@shared_task
def prune() -> None:
    """Delete what is kept longer than the settings say. Beat sends this daily."""
    services.prune()
