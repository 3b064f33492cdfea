"""Reads on model versions."""

from dataclasses import asdict

from mlmodels.ml.artifact import Artifact, ArtifactError, read_artifact
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


def file_records(artifact: Artifact) -> dict[str, dict]:
    """Return the SHA-256 and size of an artifact's files, as ModelVersion.files holds them."""
    return {name: asdict(record) for name, record in artifact.card.files.items()}


def version_artifact(version: ModelVersion) -> Artifact:
    """Return a version's checked files.

    Raises ArtifactError where they are missing, damaged, or those of another version: a home and a
    database that do not belong together.
    """
    artifact = read_artifact(version.folder)
    if file_records(artifact) != version.files:
        raise ArtifactError(
            f"{version.folder} holds another model than the database knows as {version}. "
            "Register the right folder again with register_model."
        )
    return artifact
