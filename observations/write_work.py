"""Does what users' clicks ask of Mushroom Observer, in worker monitoring, one thing after another.

The rows say what is to be done, whatever became of the messages that said so.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.utils import timezone

from common.messages import Message
from observations.key_services import mushroom_observer_key_check
from observations.models import MushroomObserverKey, MushroomObserverWrite
from observations.write_recovery import write_look
from observations.write_services import write_fail, write_send

MAX_PENDING = timedelta(minutes=10)
"""A click that no worker could act on by then is given up: nobody expects it any more."""

State = MushroomObserverWrite.State
_working = threading.Lock()
"""Held by the one thread of this process that does it: the others have other things to do, and the
site is asked one call at a time anyway."""


def clicks_work() -> None:
    """Check keys, send writes and look for lost ones, until nothing is due.

    Does nothing while another thread of this process does it. Beat calls this every few seconds, as
    well, for what a lost message or a dead worker left.
    """
    if not _working.acquire(blocking=False):
        return
    try:
        _give_up_old_ones()
        checked: list[str] = []
        while work := _next_work(checked):
            work()
    finally:
        _working.release()


def _give_up_old_ones() -> None:
    """Let clicks fail that are too old, and find writes whose worker died or is suspended.

    One that was not sent yet is pending again: who lost it does not send it any more. One that was
    is unknown.
    """
    now = timezone.now()
    due = MushroomObserverWrite.objects.filter(next_step_at__lte=now)
    due.filter(state=State.SENDING, sent_at=None).update(state=State.PENDING, next_step_at=now)
    due.filter(state=State.SENDING).update(
        state=State.UNKNOWN,
        is_worker_lost=True,
        error_code="mushroom_observer_outcome_unknown",
        error_detail=Message(
            "The worker stopped before the answer came: it may have been done. Look at the "
            "observation there."
        ),
    )
    for write in due.filter(state=State.PENDING, created_at__lt=now - MAX_PENDING)[:100]:
        detail = Message("No worker could send it within ten minutes, so nothing was written.")
        write_fail(write, "mushroom_observer_unavailable", detail)


def _next_work(checked: list[str]) -> Callable[[], None] | None:
    """Return what to do next: keys first, then writes, then looks; None if nothing is due.

    `checked` has the ciphertexts of the keys that were checked already; one more may be added.
    """
    keys = MushroomObserverKey.objects.filter(status=MushroomObserverKey.Status.CHECKING)
    if key := keys.exclude(ciphertext__in=checked).order_by("created_at").first():
        checked.append(key.ciphertext)
        return partial(mushroom_observer_key_check, key_id=key.pk)
    due = MushroomObserverWrite.objects.filter(next_step_at__lte=timezone.now())
    in_order = due.order_by("next_step_at").values_list("pk", flat=True)
    if (pk := in_order.filter(state=State.PENDING).first()) is not None:
        return partial(write_send, write_id=pk)
    if (pk := in_order.filter(state=State.UNKNOWN).first()) is not None:
        return partial(write_look, write_id=pk)
    return None
