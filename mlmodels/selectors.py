"""Reads on model versions and training runs."""

from dataclasses import asdict
from pathlib import Path

from django.db.models import QuerySet

from common.messages import Message
from common.prepared import Prepared
from common.storage import DamagedFileError, file_store
from mlmodels.ml.answers import AnswerCalibration, read_calibration
from mlmodels.ml.artifact import Artifact, ArtifactError, read_artifact
from mlmodels.ml.verdicts import VerdictRule
from mlmodels.models import ModelVersion, StageTransition, TrainingRun

_production = Prepared(
    lambda: (
        ModelVersion.objects.defer("card", "metrics", "files")
        .filter(stage=ModelVersion.Stage.PRODUCTION)
        .order_by("-pk")[:1]
    )
)


def production_version() -> ModelVersion | None:
    """Return the version in production, or None if there is none yet.

    Its card, metrics and files are deferred: a prediction does not need them.
    """
    return _production.first()


def serving_versions() -> QuerySet[ModelVersion]:
    """Return the versions that answer people, or did: all but those in Staging."""
    return ModelVersion.objects.exclude(stage=ModelVersion.Stage.STAGING).order_by()


def verdict_rule(version: ModelVersion) -> VerdictRule | None:
    """Return the rule for verdicts that a version's card states, or None if it states none."""
    in_card = "card__calibration__verdict_rule"
    rule = ModelVersion.objects.filter(pk=version.pk).values_list(in_card, flat=True).first()
    return VerdictRule(**rule) if rule else None


def answer_calibration(version: ModelVersion) -> AnswerCalibration | None:
    """Return the calibration of answers that a version's card states, or None if it states none.

    Raises ArtifactError if it is not valid.
    """
    rows = ModelVersion.objects.filter(pk=version.pk).values_list("card__calibration", flat=True)
    raw = rows.first()
    try:
        return read_calibration(raw, len(version.labels)) if raw is not None else None
    except ValueError as error:
        raise ArtifactError(
            Message(
                "The calibration in the card of %(version)s is not valid: %(reason)s Register the "
                "version again with register_model.",
                version=version,
                reason=error,
            )
        ) from error


def version_before_production() -> ModelVersion | None:
    """Return the version that a rollback restores, or None if there is none.

    Promotions form a stack: a promotion pushes a version, a rollback pops one. So a second rollback
    goes further back and never restores the version that the first one removed.
    """
    stack: list[int] = []
    into_production = StageTransition.objects.filter(to_stage=ModelVersion.Stage.PRODUCTION)
    for pk, gate in into_production.order_by("id").values_list("model_version_id", "gate"):
        if gate.get("rollback"):
            stack.pop()
        else:
            stack.append(pk)
    return ModelVersion.objects.get(pk=stack[-2]) if len(stack) > 1 else None


def version_in_stage(*, name: str, stage: str) -> ModelVersion | None:
    """Return the newest version of this name in this stage, or None."""
    return ModelVersion.objects.filter(name=name, stage=stage).order_by("-version").first()


def stages_in_use() -> list[tuple[str, str]]:
    """Return the pairs of name and stage for which a version exists."""
    pairs = ModelVersion.objects.order_by("name", "stage").values_list("name", "stage")
    return list(pairs.distinct())


def training_runs() -> QuerySet[TrainingRun]:
    """Return the runs with their versions, newest first.

    Long fields that no page shows are deferred; a dataset, for example, lists a thousand photos.
    """
    versions = ("model_version", "parent")
    long_fields = [f"{version}__{field}" for version in versions for field in ("card", "files")]
    return (
        TrainingRun.objects.select_related(*versions, "requested_by")
        .defer("dataset", "parent__metrics", *long_fields)
        .order_by("-id")
    )


def photos_trained_on(version: ModelVersion) -> frozenset[str] | None:
    """Return the SHA-256 of every photo used to train or validate a version and its ancestors.

    Photos of other species are among them.
    None if that is unknown because the version, or an ancestor, was registered from a folder.
    """
    photos: set[str] = set()
    ancestor: ModelVersion | None = version
    while ancestor is not None:
        if ancestor.run is None or ancestor.run.dataset is None:
            return None
        for part in ("training", "validation", "others"):
            photos |= {sha256 for sha256, *_ in ancestor.run.dataset.get(part, ())}
        ancestor = ancestor.parent
    return frozenset(photos)


def file_records(artifact: Artifact) -> dict[str, dict]:
    """Return the SHA-256 and size of an artifact's files, as stored in ModelVersion.files."""
    return {name: asdict(record) for name, record in artifact.card.files.items()}


def has_files(version: ModelVersion) -> bool:
    """Return whether a version's files are stored; retention deletes those of old versions."""
    return file_store("models").has_folder(version.files_name)


def version_artifact(version: ModelVersion) -> Artifact:
    """Return a version's files after checking them.

    Where they are in an object store, they are fetched unless this machine has a sound copy.
    Raises ArtifactError if they are missing (retention deletes those of old versions), damaged or
    another version's. The last happens when the storage and the database do not belong together.
    Raises StorageUnavailable.
    """
    store = file_store("models")
    try:
        return _checked(version, store.local_folder(version.files_name))
    except FileNotFoundError as error:
        raise ArtifactError(
            Message(
                "The files of %(version)s are no longer stored (CHAMPIPY_KEEP_VERSIONS says how "
                "many former versions keep theirs). Bring them back from a backup or an exported "
                "folder with `./champipy register_model FOLDER`, or promote a version that has its "
                "files.",
                version=version,
            )
        ) from error
    except DamagedFileError as error:
        raise ArtifactError(str(error)) from error
    except ArtifactError:
        if not store.is_remote:
            raise
        return _checked(version, store.local_folder(version.files_name, is_stale=True))


def _checked(version: ModelVersion, folder: Path) -> Artifact:
    artifact = read_artifact(folder)
    if file_records(artifact) != version.files:
        raise ArtifactError(
            Message(
                "%(folder)s holds another model than %(version)s in the database. Register the "
                "right folder again with register_model.",
                folder=folder,
                version=version,
            )
        )
    return artifact
