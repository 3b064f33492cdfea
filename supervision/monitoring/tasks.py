"""Celery tasks of checks and alerts (champipy_site/celery.py registers this module)."""

from celery import shared_task

from supervision.monitoring.alert_delivery import messages_deliver
from supervision.monitoring.check_services import check_run, service_watch
from supervision.monitoring.summaries import summaries_update


@shared_task
def run_check(kind: str) -> None:
    """Carry out the check `accuracy` or `new_photos`; sent by beat weekly, or manually."""
    check_run(kind=kind)


@shared_task
def watch_service() -> None:
    """Check predictions, alerts and interrupted checks; sent by beat each minute."""
    service_watch()


@shared_task
def update_summaries() -> None:
    """Bring what pages show of whole tables up to date; sent by beat each minute."""
    summaries_update()


@shared_task
def deliver_alert_messages() -> None:
    """Send again the messages that a channel did not accept; sent by beat each minute."""
    messages_deliver()
