"""Reads for the review: photos with their believed species, and those that are doubtful."""

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    Count,
    Exists,
    F,
    FloatField,
    Func,
    OuterRef,
    Prefetch,
    QuerySet,
    Subquery,
    TextField,
)
from django.db.models.functions import Coalesce

from predictions.models import Inference, Photo, Prediction

SHOWN_USERS = 3


class BestScore(Func):
    """The highest of an inference's scores, in percent."""

    template = "(SELECT max(s::float) FROM jsonb_array_elements_text(%(expressions)s) AS s)"
    output_field = FloatField()


class BestSpecies(Func):
    """The label with the highest score; takes labels and scores, in this order."""

    template = (
        "(SELECT s.label FROM ROWS FROM (jsonb_array_elements_text(%(expressions)s)) "
        "AS s(label, score) ORDER BY s.score::float DESC LIMIT 1)"
    )
    arg_joiner = "), jsonb_array_elements_text("
    output_field = TextField()


def photos_for_review() -> QuerySet[Photo]:
    """Return all photos with what a review card shows.

    This includes `best_score` (percent, of the newest inference; None if never scored), `believed`
    (the label's name, else the newest answer), `inferences` (newest first) and `asked_by` (the
    names of at most SHOWN_USERS users).
    """
    newest = Inference.objects.filter(photo=OuterRef("pk")).order_by("-id")
    best_species = BestSpecies(F("model_version__labels"), F("scores"))
    users = Prediction.objects.filter(inference__photo=OuterRef("pk"), user__isnull=False)
    version = "model_version"
    inferences = (
        Inference.objects.select_related(version)
        .defer(f"{version}__card", f"{version}__metrics", f"{version}__files")
        .order_by("-id")
    )
    return (
        Photo.objects.select_related("label", "reviewed_by", "doubt__likelier")
        .prefetch_related(Prefetch("inference_set", inferences, to_attr="inferences"))
        .annotate(
            best_score=Subquery(newest.values(best=BestScore(F("scores")))[:1]),
            believed=Coalesce(
                "label__name",
                Subquery(newest.values(best=best_species)[:1]),
                output_field=TextField(),
            ),
            asked_by=ArraySubquery(
                users.order_by("user__username").values("user__username").distinct()[:SHOWN_USERS]
            ),
        )
    )


def filter_disagreements(photos: QuerySet[Photo]) -> QuerySet[Photo]:
    """Return those of `photos` for which two versions answered different species."""
    answers = (
        Inference.objects.filter(photo=OuterRef("pk"))
        .order_by()
        .values("photo")
        .annotate(n=Count(BestSpecies(F("model_version__labels"), F("scores")), distinct=True))
        .filter(n__gt=1)
    )
    return photos.filter(Exists(answers))


def filter_doubted_labels(photos: QuerySet[Photo]) -> QuerySet[Photo]:
    """Return those of `photos` to which the last audit would give another label, with `doubted`.

    `doubted` is from 0 to 1. Leaves out photos that somebody has reviewed, and labels that changed
    after the audit.
    """
    doubted = photos.filter(reviewed_at=None, doubt__label=F("label"))
    return doubted.exclude(doubt__likelier=F("label")).annotate(doubted=F("doubt__doubt"))
