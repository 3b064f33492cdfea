"""The filters of `GET /predictions`."""

import math
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from rest_framework import serializers

from common.messages import Message
from mlmodels.names import MAX_NAME_LENGTH
from mlmodels.species_selectors import species_called
from predictions.models import Inference, Prediction


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


_OF_PREDICTIONS = {"status": "status", "created_after": "created_at__gt"}
_OF_INFERENCES = {
    "species": "best_species",
    "min_score": "best_score__gte",
    "in_scope": "in_scope",
}


def filtered(predictions: QuerySet[Prediction], query: Any) -> QuerySet[Prediction]:
    """Return those predictions that the query parameters ask for.

    Raises ValidationError if a parameter's value is malformed.
    """
    chosen, asked = _validated(predictions, query)
    of_inference = {_OF_INFERENCES[name]: asked[name] for name in _OF_INFERENCES.keys() & asked}
    if not of_inference:
        return chosen
    # As a value of each row, so that only the rows that are looked at are joined.
    inferences = Inference.objects.filter(pk=OuterRef("inference"), **of_inference).order_by()
    return chosen.alias(chosen=Subquery(inferences.values("pk"))).filter(chosen__isnull=False)


def rows_to_search(predictions: QuerySet[Prediction], query: Any) -> QuerySet[Prediction] | None:
    """Return the predictions among which the filters look one by one: their answers have no index.

    None if the query filters by nothing that was answered.
    """
    if _OF_INFERENCES.keys().isdisjoint(query):
        return None
    return _validated(predictions, query)[0].select_related(None)


def _validated(
    predictions: QuerySet[Prediction], query: Any
) -> tuple[QuerySet[Prediction], dict[str, Any]]:
    """Return the predictions that their own columns choose, and the values of all parameters."""
    names = PredictionFilters().fields.keys()
    filters = PredictionFilters(data={name: query[name] for name in names if name in query})
    filters.is_valid(raise_exception=True)
    asked: dict[str, Any] = filters.validated_data
    own = {field: asked[name] for name, field in _OF_PREDICTIONS.items() if name in asked}
    return predictions.filter(**own), asked
