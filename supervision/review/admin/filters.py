"""Filters of the list of photos to review."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from mlmodels.models import Species
from mlmodels.species_selectors import species_called
from predictions.labels import REVIEWED
from predictions.models import Photo
from supervision.datasets.composition import unreviewed_in_training
from supervision.review.selectors import (
    filter_believed,
    filter_disagreements,
    filter_doubted_labels,
    filter_feedback,
    filter_low_scores,
)

OTHER = "other"
"""Value of the filter by species for photos of other species."""
NEXT_TRAINING = "next_training"
"""Value of the filter by review for what a training would take, named by the model alone."""


def next_training_path() -> str:
    """Return the path of the list of the photos in the next training that nobody has reviewed."""
    return f"{reverse('admin:predictions_photo_changelist')}?review={NEXT_TRAINING}"


class ReviewFilter(admin.SimpleListFilter):
    title = "review"
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("waiting", "unreviewed: named by a model only"),
            (NEXT_TRAINING, "unreviewed, in the next training"),
            ("reviewed", "confirmed or corrected, or other species"),
            ("excluded", "excluded"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "waiting":
            named = (Photo.LabelSource.IMPORTED, Photo.LabelSource.SETTLED)
            return queryset.filter(reviewed_at=None).exclude(label_source__in=named)
        if self.value() == NEXT_TRAINING:
            return queryset.filter(pk__in=unreviewed_in_training())
        if self.value() == "reviewed":
            return queryset.filter(label_source__in=REVIEWED, excluded=False)
        return queryset.filter(excluded=True) if self.value() == "excluded" else queryset


class DoubtFilter(admin.SimpleListFilter):
    title = "doubt"
    parameter_name = "doubt"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("score", f"low score: {settings.CHAMPIPY_KEEP_SCORE:g} % or less"),
            ("versions", "versions disagree"),
            ("label", "audit doubts the label"),
            ("feedback", "feedback of users waits"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "score":
            return filter_low_scores(queryset, settings.CHAMPIPY_KEEP_SCORE)
        if self.value() == "versions":
            return filter_disagreements(queryset)
        if self.value() == "feedback":
            return filter_feedback(queryset)
        return filter_doubted_labels(queryset) if self.value() == "label" else queryset


class SpeciesFilter(admin.SimpleListFilter):
    """Filters by believed species, which photos without a label have, too.

    An address may have any of a species' names.
    """

    title = "species"
    parameter_name = "species"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        species = Species.objects.values_list("name", flat=True)
        return [*((name, name) for name in species), (OTHER, "other species")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        species = self.value()
        if species == OTHER:
            return queryset.filter(is_other=True)
        return filter_believed(queryset, species) if species else queryset

    def value(self) -> str | None:
        given = super().value()
        species = species_called(given) if given else None
        return species.name if species else given
