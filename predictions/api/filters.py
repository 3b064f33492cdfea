"""The filters of `GET /predictions`."""

import math
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from common.messages import Message
from mlmodels.names import MAX_NAME_LENGTH
from mlmodels.species_selectors import species_called
from predictions.models import Prediction


def stored_name(name: str) -> str:
    """Return a species' name as it is stored, whichever of its names this is.

    Raises ValidationError if it is no species' name.
    """
    species = species_called(name)
    if species is None:
        raise serializers.ValidationError(
            Message("No model knows a species named %(name)s.", name=repr(name))
        )
    return species.name


class TrueOrFalseField(serializers.BooleanField):
    """A BooleanField that takes no other words for true and false."""

    TRUE_VALUES = {"true", "True"}
    FALSE_VALUES = {"false", "False"}


class PredictionFilters(serializers.Serializer):
    """Query parameters; those that are absent filter nothing."""

    status = serializers.ChoiceField(Prediction.Status.choices, required=False)
    species = serializers.CharField(
        required=False,
        max_length=MAX_NAME_LENGTH,
        help_text="Any name of the species with the highest score.",
    )
    min_score = serializers.FloatField(
        required=False, min_value=0, max_value=100, help_text="Of the highest score, in percent."
    )
    in_scope = TrueOrFalseField(
        required=False,
        help_text="Whether the photo shows one of the species that the model knows.",
    )
    created_after = serializers.DateTimeField(
        required=False, help_text="ISO 8601, for example `2026-11-22T15:00:00Z`."
    )

    def validate_species(self, name: str) -> str:
        return stored_name(name)

    def validate_min_score(self, score: float) -> float:
        if math.isnan(score):  # no bound refuses it
            self.fields["min_score"].fail("invalid")
        return score


def filtered(predictions: QuerySet[Prediction], query: Any) -> QuerySet[Prediction]:
    """Return those predictions that the query parameters ask for.

    Raises ValidationError if a parameter's value is malformed.
    """
    names = PredictionFilters().fields.keys()
    filters = PredictionFilters(data={name: query[name] for name in names if name in query})
    filters.is_valid(raise_exception=True)
    conditions = {
        "status": "status",
        "species": "inference__best_species",
        "min_score": "inference__best_score__gte",
        "in_scope": "inference__in_scope",
        "created_after": "created_at__gt",
    }
    return predictions.filter(
        **{conditions[name]: value for name, value in filters.validated_data.items()}
    )
