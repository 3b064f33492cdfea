"""Queues training runs and carries them out: the writes on runs that need the photos."""

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import (
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from accounts.models import User
from common.broker import send_task
from common.messages import Message, Text, message_of
from mlmodels.evaluation import EngineOutputs, HeldOutPhotos
from mlmodels.ml.artifact import ArtifactError
from mlmodels.ml.backbone import BackboneUnavailable
from mlmodels.ml.dataset import RECENT_PHOTOS
from mlmodels.ml.preprocessing import PhotoError
from mlmodels.ml.training_types import Progress, TrainingStopped
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.run_services import (
    RunLost,
    progress_at,
    retry_database,
    run_claim,
    run_create,
    run_finish,
    run_update,
    runs_recover,
)
from mlmodels.selectors import photos_trained_on
from supervision.datasets.composition import dataset_composition
from supervision.datasets.selectors import (
    TooFewPhotos,
    check_enough_photos,
    dataset_manifest,
    evaluation_others,
    evaluation_set,
    manifest_sha256,
    species_names,
    training_dataset,
)
from supervision.evaluations.services import evaluation_store
from supervision.trainings.heartbeat import RunHeartbeat

logger = logging.getLogger(__name__)

MAX_EPOCHS: Final = 500
MAX_TRIALS: Final = 200
MAX_SEED: Final = 2**31 - 1
WORK_TASK = "supervision.trainings.tasks.work_next_run"
WAKE_EXPIRES_S = 20.0
"""A wake-up message that is not received by then is dropped; `watch_runs` sends another one."""
WRITE_EVERY_S = 1.0


class LabelsDiffer(Exception):  # noqa: N818 - a state of affairs
    """A version cannot be fine-tuned: its labels are not the current species."""


class AnotherRunRunning(Exception):  # noqa: N818
    """Another run is running."""


def run_request(
    *,
    kind: str,
    parameters: Mapping[str, Any],
    requested_by: User | None,
    parent: ModelVersion | None = None,
) -> TrainingRun:
    """Queue a run, wake the training worker, and return the run.

    `parameters`: those of `variables`, `epochs`, `views`, `seed`, `minutes` and `trials` that were
    chosen; `seed` (default 0) and `minutes` (default CHAMPIPY_TRAINING_MINUTES) are always
    recorded. `parent`: the version that a fine-tuning starts from.
    Raises TooFewPhotos where a species has too few training photos, and LabelsDiffer where the
    parent's labels are not the current species; nothing is queued then.
    """
    check_enough_photos()
    if parent is not None:
        _check_labels(parent)
    run = run_create(
        kind=kind,
        parameters={"seed": 0, "minutes": settings.CHAMPIPY_TRAINING_MINUTES} | dict(parameters),
        parent=parent,
        requested_by=requested_by,
    )
    transaction.on_commit(wake_training)
    return run


def run_begin(*, parameters: Mapping[str, Any]) -> TrainingRun:
    """Create a training that this process holds, ahead of all queued runs; return it.

    Raises TooFewPhotos, and AnotherRunRunning where another one runs; nothing is created then.
    """
    with transaction.atomic():
        run = run_request(kind=TrainingRun.Kind.TRAIN, parameters=parameters, requested_by=None)
        claimed = run_claim(run=run)
        if claimed is None:
            running = TrainingRun.objects.filter(status=TrainingRun.Status.RUNNING).first()
            raise AnotherRunRunning(
                Message(
                    "Not started: %(run)s is under way, and only one can run at a time. Wait until "
                    "it has ended, or cancel it in the admin.",
                    run=running or Message("another run"),
                )
            )
    return claimed


def _check_labels(parent: ModelVersion) -> None:
    version_labels, current_labels = parent.labels, species_names()
    if tuple(version_labels) == current_labels:
        return
    only_there = ", ".join(sorted(set(version_labels) - set(current_labels)))
    only_here = ", ".join(sorted(set(current_labels) - set(version_labels)))
    if only_there and only_here:
        difference = Message(
            "only the version has: %(there)s; the version lacks: %(here)s",
            there=only_there,
            here=only_here,
        )
    elif only_there:
        difference = Message("only the version has: %(there)s", there=only_there)
    elif only_here:
        difference = Message("the version lacks: %(here)s", here=only_here)
    else:
        difference = Message("their order differs")
    raise LabelsDiffer(
        Message(
            "%(version)s cannot be fine-tuned: its labels are not the current species "
            "(%(difference)s). Train a new version instead.",
            version=parent,
            difference=difference,
        )
    )


def wake_training() -> None:
    """Ask the training worker to take the next run; an unreachable broker is only logged."""
    send_task(WORK_TASK, expires_s=WAKE_EXPIRES_S)


def runs_watch() -> None:
    """Recover runs that lost their process; wake the worker if runs are queued and none runs."""
    runs_recover()
    statuses = set(
        TrainingRun.objects.filter(
            status__in=(TrainingRun.Status.QUEUED, TrainingRun.Status.RUNNING)
        ).values_list("status", flat=True)
    )
    if statuses == {TrainingRun.Status.QUEUED}:
        wake_training()


def run_work_next() -> None:
    """Work on the oldest queued run, unless one is running."""
    run = run_claim()
    if run is not None:
        run_work(run=run)


def run_work(*, run: TrainingRun, report: Callable[[Progress], None] = lambda _: None) -> None:
    """Carry out a run that this process holds, then wake the worker for the next one.

    The outcome is in the run's row: succeeded with a version in Staging, failed with an error, or
    the status that was written when the run was cancelled or taken over. `report` is called
    several times a minute. Loads TensorFlow.
    """
    started = time.monotonic()
    logger.info("%s starts, attempt %s", run, run.attempt)
    with scratch_folder(), RunHeartbeat(run, minutes=run.parameters["minutes"]) as heartbeat:
        try:
            _train(run, heartbeat, report)
            run_finish(run=run)
        except (RunLost, TrainingStopped) as error:
            logger.info("Run %s was stopped: %s", run.pk, error)
        except Exception as error:
            logger.exception("Run %s failed", run.pk)
            _fail(run, _explanation(error))
    logger.info("Run %s ended after %.0f s", run.pk, time.monotonic() - started)
    wake_training()


@contextmanager
def scratch_folder() -> Iterator[None]:
    """Keep this process's temporary files in one folder, emptied before and after.

    A killed process leaves its temporary files behind, and an export writes a hundred megabytes.
    """
    folder = Path(settings.CHAMPIPY_HOME) / "cache" / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    previous, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = previous
        shutil.rmtree(folder, ignore_errors=True)


def _train(run: TrainingRun, heartbeat: RunHeartbeat, report: Callable[[Progress], None]) -> None:
    seed = run.parameters["seed"]
    is_seen = retry_database(lambda: _seen_by(run.parent))
    dataset = retry_database(
        lambda: training_dataset(limit=RECENT_PHOTOS, seed=seed, is_seen=is_seen)
    )
    held_out = retry_database(lambda: evaluation_set(dataset.labels))
    composition = retry_database(lambda: dataset_composition(dataset))
    manifest = dataset_manifest(dataset)
    retry_database(
        lambda: run_update(
            run=run,
            dataset=manifest,
            dataset_sha256=manifest_sha256(manifest),
            composition=composition,
            validation_is_new=dataset.validation_is_new,
        )
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from mlmodels.training_services import version_train  # loads TensorFlow

    writer = _ProgressWriter(run)

    def report_progress(progress: Progress) -> None:
        writer.write(progress)
        report(progress)

    trained = version_train(
        run=run,
        dataset=dataset,
        held_out=held_out,
        report=report_progress,
        should_stop=heartbeat.is_over,
    )
    if held_out is not None and trained.outputs is not None:
        _keep_answers(trained.version, held_out, trained.outputs)


def _keep_answers(version: ModelVersion, held_out: HeldOutPhotos, outputs: EngineOutputs) -> None:
    """Store the answers measured at the training, so that a promotion need not measure again.

    Only the photos of other species are scored now.

    A failure is only logged: the version is registered, and can be measured later.
    """
    try:
        others = retry_database(evaluation_others)
        retry_database(
            lambda: evaluation_store(
                version=version, held_out=held_out, outputs=outputs, others=others
            )
        )
    except Exception:
        logger.exception("The evaluation of %s was not stored", version)


def _seen_by(parent: ModelVersion | None) -> Callable[[str], bool]:
    """Return a function of a photo's SHA-256: whether the parent may have been trained on it."""
    seen = photos_trained_on(parent) if parent else frozenset()
    return seen.__contains__ if seen is not None else lambda _: True


class _ProgressWriter:
    """Writes a run's progress about once a second, and its history at the end of each epoch.

    A history that could not be written, because the database was away, is written the next time.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._history: list[dict[str, Any]] = []
        self._is_history_unsaved = False
        self._written_at = 0.0

    def write(self, progress: Progress) -> None:
        if progress.record is not None:
            self._history.append(asdict(progress.record))
            self._is_history_unsaved = True
        now = time.monotonic()
        if now - self._written_at < WRITE_EVERY_S and progress.record is None:
            return
        self._written_at = now
        values: dict[str, Any] = {"progress": _progress_values(progress)}
        if self._is_history_unsaved:
            values["history"] = self._history
        try:
            run_update(run=self._run, **values)
        except (OperationalError, InterfaceError) as error:
            logger.warning("Progress of run %s was not written: %s", self._run.pk, error)
            connection.close()
        else:
            self._is_history_unsaved = False


def _progress_values(progress: Progress) -> dict[str, Any]:
    return progress_at(
        progress.stage,
        percent=round(100 * progress.fraction, 1),
        epoch=progress.epoch,
        epochs=progress.epochs,
        eta_s=None if progress.eta_seconds is None else round(progress.eta_seconds),
    )


def _fail(run: TrainingRun, error: Text) -> None:
    try:
        run_finish(run=run, error=error)
    except RunLost:
        logger.info("Run %s is not this process's any more: it is not marked as failed", run.pk)


def _explanation(error: Exception) -> Text:
    """Return why a run failed and what to do, as text for a person."""
    if isinstance(error, PhotoError):
        return Message(
            "A training photo can't be read: %(reason)s Exclude it from training, or import it "
            "again.",
            reason=Message(error.text, **error.parameters),
        )
    if isinstance(error, TooFewPhotos | BackboneUnavailable | ArtifactError):
        return message_of(error)
    if isinstance(error, OperationalError | InterfaceError):
        return Message(
            "The database was unreachable for too long (%(reason)s). Start the run again.",
            reason=error,
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Message(
            "The disk is full. Free some space (the folder cache/ may be emptied) and start the "
            "run again."
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return Message(
            "There was not enough memory. Choose fewer variables, or give the training worker "
            "more memory."
        )
    return Message(
        "%(error)s: %(reason)s. See the training worker's log for details.",
        error=type(error).__name__,
        reason=error,
    )
