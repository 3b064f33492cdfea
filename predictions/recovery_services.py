"""Recovers predictions that stay unanswered, and files that dead processes left behind."""

from django.db import transaction
from django.utils import timezone

from predictions.dispatch import schedule_resend, send_to_worker
from predictions.fair_shares import all_waiting_send
from predictions.incoming import incoming_older_than, incoming_store
from predictions.models import Prediction

MIN_AGE_S = 3600
"""A younger incoming file may be one that is about to get its row."""


def predictions_resend() -> int:
    """Send overdue pending predictions again, at most 500; return how many were sent again.

    Those that wait for their user's turn are sent, too, where places are free.

    This recovers what was lost when a worker was killed, the broker lost a message, or a web
    process died between storing and sending. Sending a prediction twice does no harm.
    """
    with transaction.atomic():
        stalled = list(
            Prediction.objects.select_for_update(skip_locked=True)
            .filter(status=Prediction.Status.PENDING, next_send_at__lte=timezone.now())
            .order_by("next_send_at")[:500]
        )
        for prediction in stalled:
            schedule_resend(prediction)
            prediction.save(update_fields=["sends", "next_send_at"])
            send_to_worker(prediction)
    all_waiting_send(send=send_to_worker)
    return len(stalled)


def incoming_sweep() -> int:
    """Delete incoming files older than MIN_AGE_S without a pending prediction; return how many.

    Processes that died leave them behind.
    """
    old = incoming_older_than(MIN_AGE_S)
    pending = set(
        Prediction.objects.filter(
            pk__in=[pk for pk in old.values() if pk is not None],
            status=Prediction.Status.PENDING,
        ).values_list("pk", flat=True)
    )
    orphans = [name for name, pk in old.items() if pk is None or pk not in pending]
    for name in orphans:
        incoming_store().delete(name)
    return len(orphans)
