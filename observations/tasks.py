"""Celery task of observations."""

from celery import shared_task

from observations.services import observations_finish


@shared_task
def finish_observations() -> None:
    """Finish the observations whose photos are answered. Beat sends this every few seconds."""
    observations_finish()
