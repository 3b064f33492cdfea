"""Reads on the decisions that administrators made about photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext, ngettext

from accounts.models import User
from accounts.people import counts_of_each
from predictions.labels import OtherSpecies
from predictions.models import Photo
from supervision.models import PhotoReview
from supervision.review.words import label_text

_PLAIN_FIELDS = ("label_source", "split", "excluded", "reviewed_by_id")
_TIME_FIELDS = ("split_at", "reviewed_at")
STATE_FIELDS = (*_PLAIN_FIELDS, *_TIME_FIELDS)
"""The fields of a photo that a review may change, beside its label."""


def photo_state(photo: Photo) -> dict[str, Any]:
    """Return what a review may change of a photo, ready for JSON (`PhotoReview.before`)."""
    times: dict[str, datetime | None] = {name: getattr(photo, name) for name in _TIME_FIELDS}
    return {
        "species": photo.label.name if photo.label else None,
        "is_other": photo.is_other,
        "other_name": photo.other_name,
        **{name: getattr(photo, name) for name in _PLAIN_FIELDS},
        **{name: time and time.isoformat() for name, time in times.items()},
    }


def former_values(state: dict[str, Any]) -> dict[str, Any]:
    """Return the values of STATE_FIELDS in a state; a deleted user is None."""
    values = {name: state[name] for name in _PLAIN_FIELDS}
    if not User.objects.filter(pk=values["reviewed_by_id"]).exists():
        values["reviewed_by_id"] = None
    times = {name: state[name] and datetime.fromisoformat(state[name]) for name in _TIME_FIELDS}
    return values | times


def state_text(state: dict[str, Any]) -> str:
    """Return a state as people read it: "Amanita muscaria (corrected, training)"."""
    label = str(OtherSpecies(state["other_name"])) if state["is_other"] else state["species"]
    shown = label_text(label) if label else gettext("no label")
    notes = [
        str(Photo.LabelSource(state["label_source"]).label) if state["label_source"] else "",
        str(Photo.Split(state["split"]).label) if state["split"] else "",
        gettext("excluded") if state["excluded"] else "",
    ]
    text = ", ".join(note for note in notes if note)
    return f"{shown} ({text})" if text else shown


def photo_reviews(photo: Photo) -> list[dict[str, Any]]:
    """Return the decisions about a photo, newest first, as the photo's page shows them."""
    return [
        {
            "at": review.created_at,
            "by": review.by,
            "before": state_text(review.before),
            "after": state_text(review.after),
            "undone_at": review.undone_at,
        }
        for review in photo.reviews.select_related("by")
    ]


@dataclass(frozen=True)
class Decision:
    """A decision that can be undone."""

    id: UUID
    text: str
    """What it did: "3 photos excluded"."""


def last_decision(by: User) -> Decision | None:
    """Return the last decision of an administrator that still holds for one of its photos."""
    newer = PhotoReview.objects.filter(
        photo=OuterRef("photo"), id__gt=OuterRef("id"), undone_at=None
    )
    standing: QuerySet[PhotoReview] = PhotoReview.objects.filter(
        ~Exists(newer), by=by, undone_at=None
    )
    last = standing.order_by("-id").first()
    if last is None:
        return None
    count = standing.filter(decision=last.decision).count()
    is_confirmed = last.after["label_source"] == Photo.LabelSource.CONFIRMED
    done = {
        PhotoReview.Kind.LABEL: "confirm" if is_confirmed else "correct",
        PhotoReview.Kind.OTHER: "other",
        PhotoReview.Kind.EXCLUDE: "exclude",
    }[PhotoReview.Kind(last.kind)]
    return Decision(last.decision, done_text(done, count))


def reviews_of(users: Sequence[User]) -> dict[int, int | str]:
    """Return how many photos each of these users has reviewed, as `counts_of_each` has it."""
    return counts_of_each(users, _standing_of_user(), "photo")


def reviewed_last(users: Sequence[User]) -> dict[int, datetime]:
    """Return when each of these users last reviewed a photo, by the users' ids.

    Reviews that were undone are left out.
    """
    newest = _standing_of_user().values("created_at")
    times = User.objects.filter(pk__in=[user.pk for user in users]).values_list(
        "pk", Subquery(newest[:1])
    )
    return {pk: at for pk, at in times if at is not None}


def _standing_of_user() -> QuerySet[PhotoReview]:
    # A range that only this user is in: the index of users' reviews alone has that order.
    own = PhotoReview.objects.filter(by__gte=OuterRef("pk"), by__lte=OuterRef("pk"))
    return own.filter(undone_at=None).order_by("by_id", "-id")


def photo_count(photos: int) -> str:
    """Return a number of photos as text: "1 photo", "3 photos"."""
    return ngettext("%(count)d photo", "%(count)d photos", photos) % {"count": photos}


def done_text(kind: str, photos: int) -> str:
    """Return what a decision of a kind of the review form did to how many photos."""
    texts = {
        "confirm": ngettext("%(count)d photo confirmed", "%(count)d photos confirmed", photos),
        "correct": ngettext("%(count)d photo corrected", "%(count)d photos corrected", photos),
        "other": ngettext(
            "%(count)d photo marked as other species",
            "%(count)d photos marked as other species",
            photos,
        ),
        "exclude": ngettext("%(count)d photo excluded", "%(count)d photos excluded", photos),
    }
    return texts[kind] % {"count": photos}
