"""Brings summaries up to date: what pages show of whole tables, which they do not read themselves.

Each query reads a bounded number of rows by an index, however long the tables are.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Subquery, Sum
from django.utils import timezone

from accounts.models import User
from predictions.models import Inference, Photo, Prediction
from supervision.models import Disagreement, Summary
from supervision.monitoring.dashboard import (
    DAYS_SHOWN,
    STORAGE_USE,
    day_counts,
    days_counted,
    days_store,
    final_days,
    folders_use,
)

STORAGE_EVERY = timedelta(hours=1)
"""How often the bytes in use are counted."""
PHOTOS_AT_A_TIME = 10_000
INFERENCES_AT_A_TIME = 20_000
INFERENCES_AGAIN = 1_000
"""Of the last inferences that were looked at: transactions may end in another order than ids."""
DISAGREEMENTS = "disagreements"


def summaries_update(*, now: datetime | None = None) -> None:
    """Bring all summaries up to date. Twice at the same time does no harm."""
    now = now or timezone.now()
    days_summarise(now)
    disagreements_note()
    stored = Summary.objects.filter(name=STORAGE_USE, at__gt=now - STORAGE_EVERY)
    if not stored.exists():
        storage_use_store()


def days_summarise(now: datetime) -> None:
    """Count the predictions of past days that are not stored yet."""
    known = days_counted()
    for day in final_days(DAYS_SHOWN, now):
        if day not in known:
            known |= day_counts(since=day, until=day)
            known.setdefault(day, (0, 0))
    days_store(known)


def storage_use_store() -> dict[str, Any]:
    """Count the bytes in use, store them, and return what was stored."""
    total, by_user = 0, Counter[int]()
    for portion in _portions(Photo.objects.aggregate(last=Max("pk"))["last"] or 0):
        for user, size in _bytes_by_user(*portion):
            total += size
            if user is not None:
                by_user[user] += size
    names = dict(User.objects.filter(pk__in=by_user).values_list("pk", "username"))
    largest = sorted(
        ((names[user], size) for user, size in by_user.items() if user in names),
        key=lambda pair: (-pair[1], pair[0]),
    )
    value = {"photos": total, "by_user": largest, **folders_use()}
    Summary.objects.update_or_create(
        name=STORAGE_USE, defaults={"value": value, "at": timezone.now()}
    )
    return value


def disagreements_note() -> int:
    """Note photos of which two versions answered different species, INFERENCES_AT_A_TIME a call.

    Return how many inferences are still to be looked at.
    """
    with transaction.atomic():
        Summary.objects.get_or_create(name=DISAGREEMENTS, defaults={"value": {"until": 0}})
        summary = Summary.objects.select_for_update().get(name=DISAGREEMENTS)
        last = Inference.objects.aggregate(last=Max("pk"))["last"] or 0
        first = max(0, summary.value["until"] - INFERENCES_AGAIN)
        # By the number of rows: many ids in a row may be those of deleted ones.
        count = INFERENCES_AGAIN + INFERENCES_AT_A_TIME
        ids = Inference.objects.filter(pk__gt=first).order_by("pk").values_list("pk", flat=True)
        until = ids[count - 1 : count].first() or last
        others = Inference.objects.filter(photo=OuterRef("photo"))
        disagreeing = Inference.objects.filter(
            Exists(others.exclude(best_species=OuterRef("best_species"))),
            pk__gt=first,
            pk__lte=until,
        )
        photos = set(disagreeing.order_by().values_list("photo", flat=True))
        Disagreement.objects.bulk_create(
            [Disagreement(photo_id=photo) for photo in sorted(photos)], ignore_conflicts=True
        )
        summary.value, summary.at = {"until": until}, timezone.now()
        summary.save()
    return last - until


def _bytes_by_user(start: int, end: int) -> list[tuple[int | None, int]]:
    """Return (user, bytes) of the stored photos with these ids, by who asked for them first.

    The first prediction of a photo is one that was not reused.
    """
    scored = Prediction.objects.filter(
        inference__photo=OuterRef("pk"), status=Prediction.Status.DONE, reused=False
    )
    # By a sum, so that no index on ids has this order: by one, other photos' would be read.
    first = scored.order_by(F("id") + 0).values("user")
    photos = Photo.objects.filter(pk__gte=start, pk__lt=end).exclude(file="")
    asked = photos.order_by().values_list(Subquery(first[:1])).annotate(total=Sum("bytes"))
    return list(asked)


def _portions(last: int) -> Iterator[tuple[int, int]]:
    return ((start, start + PHOTOS_AT_A_TIME) for start in range(0, last + 1, PHOTOS_AT_A_TIME))
