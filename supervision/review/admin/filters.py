"""Filters of the list of photos to review."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from common.wording import format_number
from mlmodels.models import Species
from mlmodels.species_selectors import species_called
from predictions.labels import REVIEWED
from supervision.datasets.composition import unreviewed_in_training
from supervision.review.selectors import (
    filter_believed,
    filter_disagreements,
    filter_doubted_labels,
    filter_feedback,
    filter_low_scores,
    filter_waiting,
)

OTHER = "other"
"""Value of the filter by species for photos of other species."""
NEXT_TRAINING = "next_training"
"""Value of the filter by review for what a training would take, named by the model alone."""


WAITING = "waiting"
"""Value of the filter by review for what waits, with which the list opens."""
EVERYTHING = "all"


def next_training_path() -> str:
    """Return the path of the list of the photos in the next training that nobody has reviewed."""
    return f"{reverse('admin:predictions_photo_changelist')}?review={NEXT_TRAINING}"


class ReviewFilter(admin.SimpleListFilter):
    """Filters by what a person has said. Without any filter the list shows what waits."""

    title = _("review")
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            (WAITING, _("waits: named by a model only")),
            (NEXT_TRAINING, _("waits, and is in the next training")),
            ("reviewed", _("confirmed or corrected, or other species")),
            ("excluded", _("excluded")),
        ]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        everything: Any
        everything, *others = super().choices(changelist)
        query = changelist.get_query_string({self.parameter_name: EVERYTHING})
        is_chosen = self.value() in (None, EVERYTHING)
        yield everything | {"query_string": query, "selected": is_chosen}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == WAITING:
            return filter_waiting(queryset)
        if self.value() == NEXT_TRAINING:
            return queryset.filter(pk__in=unreviewed_in_training())
        if self.value() == "reviewed":
            return queryset.filter(label_source__in=REVIEWED, excluded=False)
        return queryset.filter(excluded=True) if self.value() == "excluded" else queryset


class DoubtFilter(admin.SimpleListFilter):
    title = _("doubt")
    parameter_name = "doubt"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        limit = format_number(settings.CHAMPIPY_KEEP_SCORE, "g")
        return [
            ("score", _("low score: %(limit)s %% or less") % {"limit": limit}),
            ("versions", _("versions disagree")),
            ("label", _("audit doubts the label")),
            ("feedback", _("feedback of users waits")),
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

    title = _("species")
    parameter_name = "species"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        species = Species.objects.values_list("name", flat=True)
        return [*((name, name) for name in species), (OTHER, _("other species"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        species = self.value()
        if species == OTHER:
            return queryset.filter(is_other=True)
        return filter_believed(queryset, species) if species else queryset

    def value(self) -> str | None:
        given = super().value()
        species = species_called(given) if given else None
        return species.name if species else given
