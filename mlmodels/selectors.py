"""Reads on model versions and training runs."""

from dataclasses import asdict

from django.db.models import QuerySet

from mlmodels.ml.artifact import Artifact, ArtifactError, read_artifact
from mlmodels.models import ModelVersion, StageTransition, TrainingRun


def production_version() -> ModelVersion | None:
    """Return the version in production, or None where there is none yet.

    Without the card and the metrics, which a prediction does not need.
    """
    return (
        ModelVersion.objects.defer("card", "metrics", "files")
        .filter(stage=ModelVersion.Stage.PRODUCTION)
        .first()
    )


def version_before_production() -> ModelVersion | None:
    """Return the version that a rollback puts back, or None where there is none.

    Promotions are a pile: each lays a version on it, a rollback takes one off. So a second rollback
    goes further back, and none puts back the version that has just been taken out.
    """
    pile: list[int] = []
    into_production = StageTransition.objects.filter(to_stage=ModelVersion.Stage.PRODUCTION)
    for pk, gate in into_production.order_by("id").values_list("model_version_id", "gate"):
        if gate.get("rollback"):
            pile.pop()
        else:
            pile.append(pk)
    return ModelVersion.objects.get(pk=pile[-2]) if len(pile) > 1 else None


def version_in_stage(*, name: str, stage: str) -> ModelVersion | None:
    """Return the newest version of this name in this stage, or None where there is none."""
    return ModelVersion.objects.filter(name=name, stage=stage).order_by("-version").first()


def stages_in_use() -> list[tuple[str, str]]:
    """Return which pairs of name and stage there are versions of."""
    pairs = ModelVersion.objects.order_by("name", "stage").values_list("name", "stage")
    return list(pairs.distinct())


def training_runs() -> QuerySet[TrainingRun]:
    """Return the runs, newest first, with their versions, and without what is long and not shown.

    The manifest of a dataset has a thousand entries.
    """
    versions = ("model_version", "parent")
    long = [f"{version}__{field}" for version in versions for field in ("card", "files")]
    return (
        TrainingRun.objects.select_related(*versions, "requested_by")
        .defer("dataset", "parent__metrics", *long)
        .order_by("-id")
    )


def photos_trained_on(version: ModelVersion) -> frozenset[str] | None:
    """Return the SHA-256 of all photos that a version and those before it were made from.

    None where that is not known: a version that came as a folder, or goes back to one.
    """
    photos: set[str] = set()
    ancestor: ModelVersion | None = version
    while ancestor is not None:
        if ancestor.run is None or ancestor.run.dataset is None:
            return None
        for split in ("training", "validation"):
            photos |= {sha256 for sha256, _ in ancestor.run.dataset[split]}
        ancestor = ancestor.parent
    return frozenset(photos)


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
