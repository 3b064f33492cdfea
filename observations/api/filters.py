"""The filters of `GET /observations`."""

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from mlmodels.names import MAX_NAME_LENGTH
from observations.api.serializers import ProposedNameField
from observations.models import Observation
from observations.selectors import named, species_and_key
from predictions.verdicts import VERDICTS


class ObservationFilters(serializers.Serializer):
    """Query parameters; those that are absent filter nothing."""

    verdict = serializers.ChoiceField(
        VERDICTS, required=False, help_text="That a proposed name has: with `proposed`, that one."
    )
    decision = serializers.ChoiceField(Observation.Decision.choices[1:], required=False)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        Observation.Source.choices, required=False
    )
    proposed = ProposedNameField(
        required=False,
        max_length=MAX_NAME_LENGTH,
        help_text="A proposed name; synonyms count.",
    )
    created_after = serializers.DateTimeField(
        required=False, help_text="ISO 8601, for example `2026-11-22T15:00:00Z`."
    )


def filtered(observations: QuerySet[Observation], query: Any) -> QuerySet[Observation]:
    """Return those observations that the query parameters ask for.

    Raises ValidationError if a parameter's value is malformed.
    """
    names = ObservationFilters().fields.keys()
    filters = ObservationFilters(data={name: query[name] for name in names if name in query})
    filters.is_valid(raise_exception=True)
    asked: dict[str, Any] = filters.validated_data
    conditions = {"decision": "decision", "source": "source", "created_after": "created_at__gt"}
    of_names = {}
    if "proposed" in asked:
        of_names["key"] = species_and_key(asked["proposed"])[1]
    if "verdict" in asked:
        of_names["verdict"] = asked["verdict"]
    chosen = observations.filter(
        **{field: asked[name] for name, field in conditions.items() if name in asked}
    )
    return named(chosen, **of_names) if of_names else chosen
