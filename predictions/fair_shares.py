"""Fair shares of the workers: how many of one user's photos each of the two holds at a time.

What ChampiPy asks for by itself shares as one user does, and has one place at `inference`: at most
one such photo is ahead of one that somebody waits for.
A prediction whose `sha256` is still empty needs the worker `fetch`, the others need `inference`.
"""

from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from common.prepared import Prepared
from predictions.dispatch import Send, schedule_resend
from predictions.models import Prediction
from predictions.selectors import WAITS_FOR_ITS_TURN

TO_FETCH = Q(sha256="")
TO_SCORE = ~TO_FETCH
BACKGROUND_SCORINGS = 1


class Share(NamedTuple):
    """Whose predictions count together."""

    user_id: int | None
    is_background: bool


def share_of(prediction: Prediction) -> Share:
    """Return the share in which a prediction counts."""
    return Share(prediction.user_id, prediction.is_background)


def place_take(prediction: Prediction) -> bool:
    """Return whether the next worker has a place for one more prediction of its user.

    Then it is to be sent, and its next resend is scheduled. Else it waits in its row, without
    `next_send_at`, until another of its share has ended. Requests of the terminal never wait.
    Call it in a transaction, and save the prediction afterwards.
    """
    stage = TO_SCORE if prediction.sha256 else TO_FETCH
    share = share_of(prediction)
    is_terminal = share == Share(None, is_background=False)
    has_place = is_terminal or _free_places(share, stage) > 0
    if has_place:
        schedule_resend(prediction)
    else:
        prediction.next_send_at = None
    return has_place


def waiting_send(*, share: Share, send: Send) -> int:
    """Send as many of the share's waiting predictions as there are places, oldest first.

    Return how many.
    """
    is_users = share.user_id is not None and not share.is_background
    if is_users and _first_waiting.first(user=share.user_id or 0) is None:
        return 0
    return sum(_send_next(share, stage, send) for stage in (TO_FETCH, TO_SCORE))


def all_waiting_send(*, send: Send) -> int:
    """Do so for every share; return how many were sent. Beat calls it, so that none is forgotten.

    People's go first.
    """
    waiting = _waiting().order_by("is_background", "user")
    shares = list(waiting.values_list("user", "is_background").distinct())
    return sum(waiting_send(share=Share(*share), send=send) for share in shares)


def _send_next(share: Share, stage: Q, send: Send) -> int:
    waiting = _waiting_of(share).filter(stage)
    if not waiting.exists():
        return 0
    with transaction.atomic():
        free = max(0, _free_places(share, stage))
        chosen = list(waiting.select_for_update(skip_locked=True).order_by("pk")[:free])
        for prediction in chosen:
            schedule_resend(prediction)
            prediction.save(update_fields=["sends", "next_send_at"])
            send(prediction)
    return len(chosen)


def _waiting() -> QuerySet[Prediction]:
    return Prediction.objects.filter(WAITS_FOR_ITS_TURN)


def _waiting_of(share: Share) -> QuerySet[Prediction]:
    return _waiting().filter(user=share.user_id, is_background=share.is_background)


def _free_places(share: Share, stage: Q) -> int:
    """Return how many more of the share's predictions may be sent to this stage's worker now.

    It locks the user's row until the transaction ends, so that simultaneous requests count one
    another. (None: those of deleted users, and of nobody in the background, together.)
    """
    user_id, is_background = share
    limit = settings.CHAMPIPY_USER_FETCHES
    if stage is TO_SCORE:
        limit = BACKGROUND_SCORINGS if is_background else settings.CHAMPIPY_USER_SCORINGS
    if user_id is None:
        return limit - _sent(stage, is_background=is_background).filter(user=None).count()
    _user_to_lock.first(user=user_id)
    return limit - _sent_of_user[stage is TO_SCORE, is_background].count(user=user_id)


def _sent(stage: Q, *, is_background: bool) -> QuerySet[Prediction]:
    return Prediction.objects.filter(
        stage,
        is_background=is_background,
        status=Prediction.Status.PENDING,
        next_send_at__isnull=False,
    ).order_by()


def _prepared(stage: Q, *, is_background: bool) -> Prepared[Prediction]:
    return Prepared(
        lambda user: _sent(stage, is_background=is_background).filter(user=user).only("pk"),
        user=int,
    )


_first_waiting = Prepared(
    lambda user: _waiting_of(Share(user, is_background=False)).order_by().only("pk")[:1], user=int
)
_user_to_lock = Prepared(
    lambda user: User.objects.select_for_update(no_key=True).filter(pk=user).only("pk"), user=int
)
_sent_of_user = {
    (stage is TO_SCORE, is_background): _prepared(stage, is_background=is_background)
    for stage in (TO_FETCH, TO_SCORE)
    for is_background in (False, True)
}
