"""Reads for the review: photos with their believed species, and those that are doubtful."""

import re

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    Case,
    CharField,
    Exists,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Concat, JSONObject, Upper

from common.paging import MAX_REVIEWED
from mlmodels.models import Species
from mlmodels.selectors import serving_versions
from predictions.labels import OTHER_TEXT
from predictions.models import (
    ADDRESS_KEY,
    FILE_NAME_KEY,
    MAX_KEY,
    Feedback,
    Inference,
    Photo,
    Prediction,
)
from predictions.selectors import served_inferences

SHOWN_USERS = 3
MAX_FEEDBACK = 200
"""Pieces of feedback whose photos are listed: to find them takes several look-ups each."""
SHOWN_FEEDBACK = 5
SUGGESTED_NAMES = 500
"""Names of other species that the page suggests."""


def photos_for_review() -> QuerySet[Photo]:
    """Return all photos that can be seen, with what a review card shows.

    This includes `believed` (the label's name, or as `OtherSpecies` shows it, else the newest
    answer of a version that serves or did), `inferences` (of all versions, newest first),
    `asked_by` (the names of at most SHOWN_USERS users) and `feedback` (what waits, the newest
    SHOWN_FEEDBACK: `user`, `name`, `species`, `comment`).
    """
    newest = served_inferences().filter(photo=OuterRef("pk")).order_by("-id")
    users = Prediction.objects.filter(inference__photo=OuterRef("pk"), user__isnull=False)
    feedback = Feedback.objects.filter(
        prediction__inference__photo=OuterRef("pk"), reviewed_at=None
    ).order_by("-id")
    said = JSONObject(
        user="user__username", name="name", species="species__name", comment="comment"
    )
    version = "model_version"
    inferences = (
        Inference.objects.select_related(version)
        .defer(f"{version}__card", f"{version}__metrics", f"{version}__files")
        .order_by("-id")
    )
    return (
        Photo.objects.exclude(file="")
        .select_related("label", "reviewed_by", "doubt__likelier")
        .prefetch_related(Prefetch("inference_set", inferences, to_attr="inferences"))
        .annotate(
            believed=Case(
                When(is_other=True, other_name="", then=Value(OTHER_TEXT)),
                When(is_other=True, then=Concat(Value(f"{OTHER_TEXT}: "), "other_name")),
                default=Coalesce("label__name", Subquery(newest.values("best_species")[:1])),
                output_field=CharField(),
            ),
            asked_by=ArraySubquery(
                users.order_by("user__username").values("user__username").distinct()[:SHOWN_USERS]
            ),
            feedback=ArraySubquery(feedback.values(said=said)[:SHOWN_FEEDBACK]),
        )
    )


def filter_named(photos: QuerySet[Photo], term: str) -> QuerySet[Photo]:
    """Return those of `photos` whose address, file name or SHA-256 begins with `term`.

    Upper and lower case are the same, and an address counts with and without its scheme.
    """
    key = Upper(Value(re.sub("^https?://", "", term.strip(), flags=re.IGNORECASE)[:MAX_KEY]))
    named = photos.alias(address_key=ADDRESS_KEY, file_name_key=FILE_NAME_KEY)
    return named.filter(
        Q(address_key__startswith=key)
        | Q(file_name_key__startswith=key)
        | Q(sha256__startswith=term.strip().lower())
    )


def filter_waiting(photos: QuerySet[Photo]) -> QuerySet[Photo]:
    """Return those of `photos` that wait for a review: no person has said yet what they show."""
    named = (Photo.LabelSource.IMPORTED, Photo.LabelSource.SETTLED)
    return photos.filter(reviewed_at=None).exclude(label_source__in=named)


def filter_feedback(photos: QuerySet[Photo]) -> QuerySet[Photo]:
    """Return those of `photos` on which feedback of a user waits for a review.

    That is, the newest MAX_FEEDBACK pieces of it.
    """
    waiting = Feedback.objects.filter(reviewed_at=None).order_by("-id")
    newest = waiting.values_list("prediction__inference__photo", flat=True)[:MAX_FEEDBACK]
    return photos.filter(pk__in=list(newest))


def filter_low_scores(photos: QuerySet[Photo], limit: float) -> QuerySet[Photo]:
    """Return those of `photos` whose newest answer scored at most `limit` percent.

    They can be ordered by `inference__best_score`, which is then the score of that answer.
    """
    newer = served_inferences().filter(photo=OuterRef("pk"), id__gt=OuterRef("inference__id"))
    is_low = Q(inference__best_score__lte=limit, inference__model_version__in=serving_versions())
    return photos.filter(is_low & ~Exists(newer))


def filter_believed(photos: QuerySet[Photo], species: str) -> QuerySet[Photo]:
    """Return those of `photos` with this label or, without a label, with this newest answer."""
    # Of both kinds the newest that are listed at most, each by its own index. So this is the last
    # of the list's filters.
    newer = served_inferences().filter(photo=OuterRef("photo"), id__gt=OuterRef("id"))
    answered = served_inferences().filter(
        ~Exists(newer),
        best_species=species,
        photo__in=photos.filter(label=None, is_other=False).order_by(),
    )
    newest = answered.order_by("-photo").values_list("photo", flat=True)[:MAX_REVIEWED]
    label = Species.objects.filter(name=species).first()
    labelled = photos.filter(label=label, label__isnull=False).order_by("-id")
    return photos.filter(pk__in=[*newest, *labelled.values_list("pk", flat=True)[:MAX_REVIEWED]])


def filter_disagreements(photos: QuerySet[Photo]) -> QuerySet[Photo]:
    """Return those of `photos` for which two versions answered different species.

    `supervision.monitoring.summaries` finds them, within a few minutes.
    """
    return photos.filter(disagreement__isnull=False)


def filter_doubted_labels(photos: QuerySet[Photo]) -> QuerySet[Photo]:
    """Return those of `photos` to which the last audit would give another label, with `doubted`.

    `doubted` is from 0 to 1. Leaves out photos that somebody has reviewed, and labels that changed
    after the audit.
    """
    doubted = photos.filter(reviewed_at=None, doubt__label=F("label"))
    return doubted.exclude(doubt__likelier=F("label")).annotate(doubted=F("doubt__doubt"))


def other_names() -> list[str]:
    """Return the names that were given to photos of other species, at most SUGGESTED_NAMES."""
    named = Photo.objects.filter(is_other=True).exclude(other_name="")
    names = named.order_by("other_name").values_list("other_name", flat=True).distinct()
    return list(names[:SUGGESTED_NAMES])
