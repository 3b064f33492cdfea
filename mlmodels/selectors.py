"""Reads on model versions."""

from mlmodels.models import ModelVersion


def production_version() -> ModelVersion | None:
    """Return the version in production, or None where there is none yet.

    Without the card and the metrics, which a prediction does not need.
    """
    return (
        ModelVersion.objects.defer("card", "metrics", "files")
        .filter(stage=ModelVersion.Stage.PRODUCTION)
        .first()
    )
