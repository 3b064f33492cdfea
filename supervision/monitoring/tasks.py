"""Celery's side of checks and alerts (champipy_site/celery.py says how this module is found)."""

from celery import shared_task

from supervision.monitoring.alert_delivery import messages_deliver
from supervision.monitoring.check_services import check_run, watch


@shared_task
def run_check(kind: str) -> None:
    """Beat, weekly, and by hand: the check of `accuracy` or of `new_photos`."""
    check_run(kind=kind)


@shared_task
def watch_service() -> None:
    """Beat, each minute: whether predictions are answered, alerts over, checks cut off."""
    watch()


@shared_task
def deliver_alert_messages() -> None:
    """Beat, each minute: what a mail server or another service did not take the last time."""
    messages_deliver()
