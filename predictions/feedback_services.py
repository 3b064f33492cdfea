"""Writes on feedback: what users say about answers, and when its photo has been reviewed."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from mlmodels.species_selectors import species_called
from predictions.models import Feedback, Photo, Prediction


class NotAnswered(Exception):  # noqa: N818 - a condition to report, not a fault
    """The prediction is pending or failed: there is no answer to say anything about."""


def feedback_give(
    *, prediction: Prediction, user: User, name: str | None, comment: str = ""
) -> Feedback:
    """Store what a user says that a photo shows, in place of what they said before; return it.

    `name` is one that `parse_name` can read, or None for "none of the species that you know". The
    feedback waits for review, also if an earlier one was reviewed.
    Raises NotAnswered unless the prediction is done, Prediction.DoesNotExist if it is deleted
    meanwhile.
    """
    if prediction.status != Prediction.Status.DONE:
        raise NotAnswered
    said = {
        "name": name or "",
        "species": species_called(name) if name else None,
        "comment": comment,
        "created_at": timezone.now(),
        "reviewed_by": None,
        "reviewed_at": None,
    }
    with transaction.atomic():
        prediction = Prediction.objects.select_for_update(no_key=True).get(pk=prediction.pk)
        feedback, _ = Feedback.objects.update_or_create(
            prediction=prediction, user=user, defaults=said
        )
    return feedback


def feedback_close(*, photo: Photo, by: User) -> int:
    """Mark the waiting feedback on a photo's predictions as reviewed; return how many there were.

    An administrator has decided what the photo shows, whether or not that changed its label.
    """
    waiting = Feedback.objects.filter(prediction__inference__photo=photo, reviewed_at=None)
    return waiting.update(reviewed_by=by, reviewed_at=timezone.now())


def feedback_reopen(*, photo: Photo, by: User, since: datetime) -> int:
    """Let the feedback wait again that `by` reviewed from `since` on; return how many there were.

    It is for a decision about the photo that was undone.
    """
    closed = Feedback.objects.filter(
        prediction__inference__photo=photo, reviewed_by=by, reviewed_at__gte=since
    )
    return closed.update(reviewed_by=None, reviewed_at=None)
