"""What the OpenAPI schema of predictions takes from the database."""

from typing import Any

from django.db import DatabaseError
from rest_framework.request import Request

from mlmodels.models import ModelVersion, Species
from mlmodels.selectors import production_version


def species_count(version: ModelVersion | None) -> int:
    """Return the maximum of `nb_preds`: how many species the version knows."""
    return len(version.labels) if version else Species.objects.count()


def add_nb_preds_maximum(
    result: dict[str, Any], generator: Any, request: Request | None, public: bool
) -> dict[str, Any]:
    """Add the present maximum of `nb_preds` to the schema that a client asks for.

    The schema is also made without a client or a database, and then leaves it out.
    """
    if request is None:
        return result
    try:
        maximum = species_count(production_version())
    except DatabaseError:
        return result
    for name in (
        "PredictionJsonRequest",
        "PredictionUploadRequest",
        "PredictionBatchRequest",
    ):
        result["components"]["schemas"][name]["properties"]["nb_preds"]["maximum"] = maximum
    return result
