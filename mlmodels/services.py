"""Writes on model versions: registering a folder, exporting one, promoting one."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Max

from accounts.models import User
from mlmodels.ml.artifact import ArtifactError, read_artifact
from mlmodels.ml.card import Card
from mlmodels.models import ModelVersion, Species, StageTransition, TrainingRun
from mlmodels.run_services import run_lock
from mlmodels.selectors import file_records, version_artifact, version_before_production

logger = logging.getLogger(__name__)

PRETRAINED = Path(__file__).parent / "pretrained"
"""The version that comes with the project."""


def version_register(
    *, folder: Path, run: TrainingRun | None = None, parent: ModelVersion | None = None
) -> tuple[ModelVersion, bool]:
    """Register a version's folder in Staging and copy it home; return it and whether it is new.

    The folder is checked whole before anything is written. One that was registered before is
    returned as it is, and its files are laid anew where they are missing or damaged.
    Raises ArtifactError where the folder is not what it should be, RunLost where `run` was
    cancelled or taken from this process meanwhile.
    """
    artifact = read_artifact(folder)
    artifact.load_engine()
    files = file_records(artifact)
    with transaction.atomic():
        if run is not None:
            run_lock(run=run)
        _lock_versions()
        version = ModelVersion.objects.filter(files=files).first()
        is_new = version is None
        if version is None:
            for label in artifact.card.labels:
                Species.objects.get_or_create(name=label)
            version = _version_row(artifact.card, files=files, run=run, parent=parent)
        _lay_files(folder, version)
    return version, is_new


def _lock_versions() -> None:
    """Let nobody else write versions until this transaction ends: numbers go up one by one."""
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
        card=asdict(card),
        run=run,
        parent=parent,
    )


def _lay_files(source: Path, version: ModelVersion) -> None:
    """Copy a checked folder to where the version's files lie, unless they lie there unharmed."""
    target = version.folder
    try:
        version_artifact(version)
    except ArtifactError:
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)


def version_export(*, version: ModelVersion, folder: Path) -> None:
    """Copy a version's files, checked, into a new or empty folder, from where it can be registered.

    Raises FileExistsError where the folder holds something, ArtifactError on a damaged version.
    """
    version_artifact(version)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: give a new folder, or empty it first.")
    shutil.copytree(version.folder, folder, dirs_exist_ok=True)


Gate = Callable[[ModelVersion, ModelVersion | None], dict]
"""Given a candidate and the version in production, returns what StageTransition.gate is to hold,
or raises to refuse the candidate."""


class NothingToRollBackTo(Exception):  # noqa: N818 - a state of affairs
    """No version was in production before the present one."""


def version_promote(
    *, version: ModelVersion, by: User | None, reason: str, gate: Gate | None = None
) -> None:
    """Put a version into production and archive the one before, in one transaction.

    `gate` is asked inside of it, so that what it says is about the version that is really replaced;
    predictions go on meanwhile. A version that is in production already stays there, unasked.
    Raises what the gate raises, and ArtifactError where the version's files are not intact; nothing
    changes then.
    """
    with transaction.atomic():
        current = _lock_production()
        if current == version:
            return
        said = gate(version, current) if gate is not None else {}
        _switch(version, current, by=by, reason=reason, gate=said)


def version_rollback(
    *, leaving: ModelVersion, by: User | None, reason: str, gate: Gate | None = None
) -> None:
    """Put back the version that was in production before `leaving`: one promotion undone.

    Where `leaving` is in production no longer (a button clicked twice), nothing changes.
    Raises NothingToRollBackTo, and what `version_promote` raises.
    """
    with transaction.atomic():
        current = _lock_production()
        if current != leaving:
            return
        version = version_before_production()
        if version is None:
            raise NothingToRollBackTo
        said = gate(version, current) if gate is not None else {}
        _switch(version, current, by=by, reason=reason, gate={**said, "rollback": True})


def _lock_production() -> ModelVersion | None:
    _lock_versions()
    return ModelVersion.objects.filter(stage=ModelVersion.Stage.PRODUCTION).first()


def _switch(
    version: ModelVersion,
    current: ModelVersion | None,
    *,
    by: User | None,
    reason: str,
    gate: dict,
) -> None:
    version_artifact(version)
    version.refresh_from_db(fields=["stage"])
    if current is not None:
        _change_stage(current, ModelVersion.Stage.ARCHIVED, by=by, reason=reason, gate={})
    _change_stage(version, ModelVersion.Stage.PRODUCTION, by=by, reason=reason, gate=gate)
    logger.info("%s goes into production: %s", version, reason)


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
