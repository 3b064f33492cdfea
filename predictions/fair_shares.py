"""Fair shares of the fetch worker: how many of one user's URLs it holds at a time."""

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from predictions.dispatch import Send, schedule_resend
from predictions.models import Prediction
from predictions.selectors import WAITS_FOR_ITS_TURN


def fetch_or_wait(prediction: Prediction, *, send: Send) -> None:
    """Save a new prediction of a URL, and send it unless enough of its user's are being fetched.

    One that is not sent waits in its row, without `next_send_at`. Requests of the terminal never
    wait. Call it in a transaction.
    """
    if prediction.user_id is None or _free_places(prediction.user_id) > 0:
        schedule_resend(prediction)
        prediction.save()
        send(prediction)
    else:
        prediction.save()


def waiting_fetches_send(*, user_id: int | None, send: Send) -> int:
    """Send as many of the user's waiting URLs as places are free; return how many, oldest first."""
    if not _waiting().filter(user=user_id).exists():
        return 0
    with transaction.atomic():
        free = max(0, _free_places(user_id))
        waiting = _waiting().select_for_update(skip_locked=True).filter(user=user_id)
        chosen = list(waiting.order_by("pk")[:free])
        for prediction in chosen:
            schedule_resend(prediction)
            prediction.save(update_fields=["sends", "next_send_at"])
            send(prediction)
    return len(chosen)


def all_waiting_fetches_send(*, send: Send) -> int:
    """Do so for every user; return how many were sent. Beat calls it, so that none is forgotten."""
    users = list(_waiting().order_by("user").values_list("user", flat=True).distinct())
    return sum(waiting_fetches_send(user_id=user_id, send=send) for user_id in users)


def _waiting() -> QuerySet[Prediction]:
    return Prediction.objects.filter(WAITS_FOR_ITS_TURN)


def _free_places(user_id: int | None) -> int:
    """Return how many more of the user's URLs may be fetched now.

    It locks the user's row until the transaction ends, so that simultaneous requests count one
    another. (None: those of deleted users, together.)
    """
    if user_id is not None:
        list(User.objects.select_for_update(no_key=True).filter(pk=user_id).values_list("pk"))
    fetched = Prediction.objects.filter(
        user=user_id,
        status=Prediction.Status.PENDING,
        next_send_at__isnull=False,
        is_upload=False,
        sha256="",
    )
    return settings.CHAMPIPY_USER_FETCHES - fetched.count()
