"""Celery tasks of observations."""

from celery import shared_task

from observations.mushroom_observer_services import observations_read_due
from observations.queue.polling import queue_poll
from observations.services import observations_finish


@shared_task
def finish_observations() -> None:
    """Finish the observations whose photos are answered. Beat sends this every few seconds."""
    observations_finish()


@shared_task
def read_observations() -> None:
    """Read at Mushroom Observer what users asked for. Runs in worker monitoring.

    Beat sends this every few seconds, too, for those whose message or worker was lost.
    """
    observations_read_due()


@shared_task
def poll_mushroom_observer() -> None:
    """Fill the queue with finds that are worth a look. Beat sends this once it is switched on.

    Runs in worker monitoring.
    """
    queue_poll()
