"""The lists of photos that wait for a person, and the way through one of them."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.views.main import ChangeList
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext

from common.paging import MAX_REVIEWED, capped_count
from predictions.models import Photo
from supervision.datasets.composition import unreviewed_in_training
from supervision.review.admin.filters import NEXT_TRAINING, WAITING
from supervision.review.selectors import filter_doubted_labels, filter_feedback, filter_waiting


def waiting_lists(query: QueryDict) -> list[dict[str, Any]]:
    """Return the lists that wait: `query`, `name`, `count` and whether it `is_shown` now.

    Counting stops at `limit`. `query` is that of the present address.
    """
    photos = Photo.objects.exclude(file="")
    lists = [
        (
            f"review={WAITING}",
            gettext("Named by a model only"),
            capped_count(filter_waiting(photos), MAX_REVIEWED),
        ),
        (f"review={NEXT_TRAINING}", gettext("In the next training"), len(unreviewed_in_training())),
        ("doubt=feedback", gettext("Feedback of users"), filter_feedback(photos).count()),
        (
            "doubt=label",
            gettext("Doubted by the audit"),
            capped_count(filter_doubted_labels(photos), MAX_REVIEWED),
        ),
    ]
    shown = query.urlencode()
    return [
        {
            **{"query": each, "name": name, "count": count, "limit": MAX_REVIEWED},
            "is_shown": each == shown,
        }
        for each, name, count in lists
    ]


def next_in(listed: ChangeList, photo_id: int) -> int | None:
    """Return the photo of a list that comes after another; after its last, its first; or None."""
    photos = listed.queryset.values_list("pk", flat=True)
    following: int | None = None
    if listed.queryset.query.order_by[0] == "-id":
        following = photos.filter(pk__lt=photo_id).first()
    return following or photos.exclude(pk=photo_id).first()


def page_of(photo_id: int, query: str) -> str:
    """Return the address of a photo's page, which knows the list with this query."""
    url = reverse("admin:predictions_photo_change", args=[photo_id])
    return f"{url}?{urlencode({'_changelist_filters': query})}" if query else url
