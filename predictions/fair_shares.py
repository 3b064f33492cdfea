"""Fair shares of the workers: how many of one user's photos each of the two holds at a time.

A prediction whose `sha256` is still empty needs the worker `fetch`, the others need `inference`.
"""

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from predictions.dispatch import Send, schedule_resend
from predictions.models import Prediction
from predictions.selectors import WAITS_FOR_ITS_TURN

TO_FETCH = Q(sha256="")
TO_SCORE = ~TO_FETCH


def place_take(prediction: Prediction) -> bool:
    """Return whether the next worker has a place for one more prediction of its user.

    Then it is to be sent, and its next resend is scheduled. Else it waits in its row, without
    `next_send_at`, until another of its user's has ended. Requests of the terminal never wait.
    Call it in a transaction, and save the prediction afterwards.
    """
    stage = TO_SCORE if prediction.sha256 else TO_FETCH
    has_place = prediction.user_id is None or _free_places(prediction.user_id, stage) > 0
    if has_place:
        schedule_resend(prediction)
    else:
        prediction.next_send_at = None
    return has_place


def waiting_send(*, user_id: int | None, send: Send) -> int:
    """Send as many of the user's waiting predictions as there are places, oldest first.

    Return how many.
    """
    return sum(_send_next(user_id, stage, send) for stage in (TO_FETCH, TO_SCORE))


def all_waiting_send(*, send: Send) -> int:
    """Do so for every user; return how many were sent. Beat calls it, so that none is forgotten."""
    users = list(_waiting().order_by("user").values_list("user", flat=True).distinct())
    return sum(waiting_send(user_id=user_id, send=send) for user_id in users)


def _send_next(user_id: int | None, stage: Q, send: Send) -> int:
    waiting = _waiting().filter(stage, user=user_id)
    if not waiting.exists():
        return 0
    with transaction.atomic():
        free = max(0, _free_places(user_id, stage))
        chosen = list(waiting.select_for_update(skip_locked=True).order_by("pk")[:free])
        for prediction in chosen:
            schedule_resend(prediction)
            prediction.save(update_fields=["sends", "next_send_at"])
            send(prediction)
    return len(chosen)


def _waiting() -> QuerySet[Prediction]:
    return Prediction.objects.filter(WAITS_FOR_ITS_TURN)


def _free_places(user_id: int | None, stage: Q) -> int:
    """Return how many more of the user's predictions may be sent to this stage's worker now.

    It locks the user's row until the transaction ends, so that simultaneous requests count one
    another. (None: those of deleted users, together.)
    """
    if user_id is not None:
        list(User.objects.select_for_update(no_key=True).filter(pk=user_id).values_list("pk"))
    sent = Prediction.objects.filter(
        stage, user=user_id, status=Prediction.Status.PENDING, next_send_at__isnull=False
    )
    is_fetch = stage is TO_FETCH
    limit = settings.CHAMPIPY_USER_FETCHES if is_fetch else settings.CHAMPIPY_USER_SCORINGS
    return limit - sent.count()
