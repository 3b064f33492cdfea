"""Celery tasks of observations. Those that ask Mushroom Observer run in worker monitoring."""

from celery import shared_task

from observations.key_services import mushroom_observer_keys_renew
from observations.mushroom_observer_services import observations_read_due
from observations.queue.polling import queue_poll
from observations.services import observations_finish
from observations.write_work import clicks_work


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


@shared_task
def renew_mushroom_observer_keys() -> None:
    """Encrypt users' API keys with the present SECRET_KEY. Beat sends this daily."""
    mushroom_observer_keys_renew()


@shared_task
def work_on_clicks() -> None:
    """Check API keys and write at Mushroom Observer what users clicked. Runs in worker monitoring.

    Beat sends this every few seconds, too, for what a lost message or a dead worker left.
    """
    clicks_work()
