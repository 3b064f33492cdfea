"""Writes on model versions: register, export, promote and roll back."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Max

from accounts.models import User
from common.storage import file_store
from mlmodels.ml.artifact import ArtifactError, read_artifact
from mlmodels.ml.card import Card
from mlmodels.models import ModelVersion, Species, StageTransition, TrainingRun
from mlmodels.run_services import run_lock
from mlmodels.selectors import file_records, version_artifact, version_before_production

logger = logging.getLogger(__name__)

PRETRAINED = Path(__file__).parent / "pretrained"
"""Folder of the version that comes with ChampiPy."""


def version_register(
    *, folder: Path, run: TrainingRun | None = None, parent: ModelVersion | None = None
) -> tuple[ModelVersion, bool]:
    """Register a version's folder in Staging; return the version and whether it is new.

    The folder is checked completely before anything is written, then copied into the storage; the
    files are complete before the row exists. A version that is already registered (of `run`, if one
    is given) is returned unchanged; if its files are missing or damaged, they are copied again.
    Raises ArtifactError if the folder is not a valid artifact, RunLost if this process no longer
    holds `run`, StorageUnavailable.
    """
    artifact = read_artifact(folder)
    artifact.load_engine()
    files = file_records(artifact)
    with transaction.atomic():
        if run is not None:
            run_lock(run=run)
        _lock_versions()
        # The same photos give the same files again, and each run has a version of its own.
        same = {"files": files} if run is None else {"run": run}
        version = ModelVersion.objects.filter(**same).first()
        is_new = version is None
        if version is None:
            for label in artifact.card.labels:
                Species.objects.get_or_create(name=label)
            version = _version_row(artifact.card, files=files, run=run, parent=parent)
        _copy_files(folder, version)
    return version, is_new


def _lock_versions() -> None:
    """Block other writes of versions until this transaction ends, so that numbers have no gaps."""
    with connection.cursor() as cursor:
        cursor.execute(f'LOCK TABLE "{ModelVersion._meta.db_table}" IN SHARE ROW EXCLUSIVE MODE')


def _version_row(
    card: Card, *, files: dict, run: TrainingRun | None, parent: ModelVersion | None
) -> ModelVersion:
    newest = ModelVersion.objects.filter(name=card.name).aggregate(Max("version"))
    return ModelVersion.objects.create(
        name=card.name,
        version=(newest["version__max"] or 0) + 1,
        stage=ModelVersion.Stage.STAGING,
        labels=list(card.labels),
        input_size=card.input_size,
        preprocessing=card.preprocessing,
        temperature=card.temperature,
        files=files,
        metrics=card.metrics,
        card=card.as_dict(),
        run=run,
        parent=parent,
    )


def _copy_files(source: Path, version: ModelVersion) -> None:
    """Copy a checked folder to the version's folder, unless that is already intact."""
    try:
        version_artifact(version)
    except ArtifactError:
        file_store("models").save_folder(version.files_name, source)


def version_export(*, version: ModelVersion, folder: Path) -> None:
    """Check a version's files and copy them into a new or empty folder for `version_register`.

    Raises FileExistsError if the folder is not empty, ArtifactError if the version is damaged.
    """
    artifact = version_artifact(version)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty. Give a new folder, or empty this one first.")
    shutil.copytree(artifact.folder, folder, dirs_exist_ok=True)


Gate = Callable[[ModelVersion, ModelVersion | None], dict]
"""Takes a candidate and the version in production, and returns the value of StageTransition.gate.
Checks the candidate's files. Raises to refuse the candidate."""


class NoPreviousVersion(Exception):  # noqa: N818 - a state, not a fault
    """No version was in production before the current one."""


def version_promote(
    *, version: ModelVersion, by: User | None, reason: str, gate: Gate | None = None
) -> None:
    """Put a version into production and archive the current one, in one transaction.

    `gate` is called inside that transaction, so that it compares with the version that is really
    replaced. Predictions continue meanwhile. If the version is already in production, nothing
    happens and `gate` is not called.
    Raises what `gate` raises or, without a gate, ArtifactError if the version's files are not
    intact; then nothing changes.
    """
    with transaction.atomic():
        current = _lock_production()
        if current == version:
            return
        gate_result = _pass(version, current, gate)
        _replace_production(version, current, by=by, reason=reason, gate=gate_result)


def version_rollback(
    *, leaving: ModelVersion, by: User | None, reason: str, gate: Gate | None = None
) -> bool:
    """Undo the promotion of `leaving`: restore the version that was in production before it.

    If `leaving` is no longer in production (a button clicked twice), nothing changes. Returns
    whether the version in production was changed.
    Raises NoPreviousVersion, and what `version_promote` raises.
    """
    with transaction.atomic():
        current = _lock_production()
        if current != leaving:
            return False
        version = version_before_production()
        if version is None:
            raise NoPreviousVersion
        gate_result = _pass(version, current, gate)
        _replace_production(
            version, current, by=by, reason=reason, gate={**gate_result, "rollback": True}
        )
    return True


def _pass(version: ModelVersion, current: ModelVersion | None, gate: Gate | None) -> dict:
    """Return the gate's record. Without a gate, only the files are checked; they are read once."""
    if gate is not None:
        return gate(version, current)
    version_artifact(version)
    return {}


def _lock_production() -> ModelVersion | None:
    _lock_versions()
    return ModelVersion.objects.filter(stage=ModelVersion.Stage.PRODUCTION).first()


def _replace_production(
    version: ModelVersion,
    current: ModelVersion | None,
    *,
    by: User | None,
    reason: str,
    gate: dict,
) -> None:
    version.refresh_from_db(fields=["stage"])
    if current is not None:
        _change_stage(current, ModelVersion.Stage.ARCHIVED, by=by, reason=reason, gate={})
    _change_stage(version, ModelVersion.Stage.PRODUCTION, by=by, reason=reason, gate=gate)
    logger.info("%s is put into production: %s", version, reason)


def _change_stage(
    version: ModelVersion, stage: str, *, by: User | None, reason: str, gate: dict
) -> None:
    StageTransition.objects.create(
        model_version=version,
        from_stage=version.stage,
        to_stage=stage,
        by=by,
        reason=reason,
        gate=gate,
    )
    version.stage = stage
    version.save(update_fields=["stage"])


def version_files_delete(*, version: ModelVersion, is_unneeded: Callable[[], bool]) -> int:
    """Delete a version's folder and return its bytes; its row stays, and it answers no more.

    `is_unneeded` is called while no version can change its stage; when it returns False, nothing
    is deleted. `register_model` with a copy of the folder brings the files back.
    """
    with transaction.atomic():
        _lock_versions()
        size = file_store("models").delete_folder(version.files_name) if is_unneeded() else 0
    if size:
        logger.info("The files of %s were deleted", version)
    return size
