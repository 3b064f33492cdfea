"""Writes on training runs. The row is the truth; the broker only wakes the worker.

A running run is *held* by the process that writes its heartbeat. Every write of the holder goes to
the row only while it still runs in the holder's own attempt (`run_update`): a process that was
taken for dead, or whose run was cancelled, finds out with its next write and changes nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

from django.db import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from mlmodels.models import ModelVersion, TrainingRun

logger = logging.getLogger(__name__)

Status = TrainingRun.Status
Result = TypeVar("Result")

LOST_AFTER = timedelta(seconds=60)
"""A run whose heartbeat is older than this, by the database's clock, has lost its process."""
MAX_LOST_WORKERS: Final = 2
RETRY_FOR_S: Final = 300.0
"""For how long a write that must not be lost is tried again."""
RETRY_PAUSE_S: Final = 2.0


class RunLost(Exception):  # noqa: N818 - a state of affairs
    """The run is not this process's any more: cancelled, or taken for dead."""


class RunEnded(Exception):  # noqa: N818
    """The run has ended, so there is nothing to cancel."""


def run_create(
    *,
    kind: str,
    parameters: Mapping[str, Any],
    parent: ModelVersion | None,
    requested_by: User | None,
) -> TrainingRun:
    """Put a run into the queue; `supervision.trainings.services.run_request` checks it before."""
    return TrainingRun.objects.create(
        kind=kind,
        parameters=dict(parameters),
        parent=parent,
        requested_by=requested_by,
        progress=progress_at("queued"),
    )


def progress_at(
    stage: str, percent: float = 0, epoch: int = 0, epochs: int = 0, eta_s: int | None = None
) -> dict[str, Any]:
    """Return a run's `progress`: 0 to 100 percent, and the seconds that are left, where known."""
    return {
        "percent": percent,
        "stage": stage,
        "epoch": epoch,
        "epochs": epochs,
        "eta_s": eta_s,
    }


def run_claim(*, run: TrainingRun | None = None) -> TrainingRun | None:
    """Begin the oldest queued run, or the given one, unless one is running: return it, or None.

    However many processes claim at once, one of them gets it: the table holds one running row.
    """
    queued = TrainingRun.objects.filter(status=Status.QUEUED)
    if run is not None:
        queued = queued.filter(pk=run.pk)
    try:
        with transaction.atomic():
            chosen = queued.order_by("pk").select_for_update().first()
            if chosen is None:
                return None
            TrainingRun.objects.filter(pk=chosen.pk).update(
                status=Status.RUNNING,
                attempt=F("attempt") + 1,
                progress=progress_at("dataset"),
                history=[],
                trials=[],
                error="",
                heartbeat_at=Now(),
                started_at=Now(),
            )
    except IntegrityError:  # one_run_at_a_time
        return None
    chosen.refresh_from_db()
    return chosen


def _held(run: TrainingRun) -> QuerySet[TrainingRun]:
    return TrainingRun.objects.filter(pk=run.pk, status=Status.RUNNING, attempt=run.attempt)


def run_update(*, run: TrainingRun, **values: Any) -> None:
    """Write fields of a run that this process holds. Raises RunLost, and changes nothing, else."""
    if not _held(run).update(**values):
        raise RunLost(f"Run {run.pk} is not this process's any more.")
    for field, value in values.items():
        setattr(run, field, value)


def run_heartbeat(*, run: TrainingRun) -> None:
    """Say that the process that holds the run is alive. Raises RunLost."""
    if not _held(run).update(heartbeat_at=Now()):
        raise RunLost(f"Run {run.pk} is not this process's any more.")


def run_lock(*, run: TrainingRun) -> None:
    """Keep the run from being cancelled or taken until this transaction ends. Raises RunLost.

    What registers a version calls it first: a run that was cancelled never leaves a version.
    """
    if _held(run).select_for_update().values_list("pk").first() is None:
        raise RunLost(f"Run {run.pk} is not this process's any more.")


def run_finish(*, run: TrainingRun, error: str = "") -> None:
    """End a run that this process holds: succeeded, or failed with an error for people to read.

    Tried for RETRY_FOR_S where the database is away. Raises RunLost.
    """

    def finish() -> None:
        with transaction.atomic():
            run_lock(run=run)
            progress = TrainingRun.objects.values_list("progress", flat=True).get(pk=run.pk)
            _end(run, Status.FAILED if error else Status.SUCCEEDED, progress, error)

    retry_database(finish)


def run_cancel(*, run: TrainingRun) -> TrainingRun:
    """Cancel a queued or running run and return it; its process ends within ten seconds.

    Raises RunEnded where it has ended, or has registered its version and is about to.
    """
    with transaction.atomic():
        current = _locked(run)
        if current.status not in (Status.QUEUED, Status.RUNNING):
            raise RunEnded(f"Run {run.pk} has {current.status} already.")
        if ModelVersion.objects.filter(run=run).exists():
            raise RunEnded(f"Run {run.pk} is done: {current.model_version} is registered.")
        _end(current, Status.CANCELLED, current.progress, "")
    logger.info("Run %s was cancelled", run.pk)
    return current


def runs_recover() -> list[TrainingRun]:
    """Take up the runs whose process has died; return them.

    The first time a run goes back into the queue (its features are cached, so it goes on quickly),
    the second time it fails. One that had registered its version has succeeded.
    """
    with transaction.atomic():
        lost = list(
            TrainingRun.objects.select_for_update(skip_locked=True).filter(
                status=Status.RUNNING, heartbeat_at__lt=Now() - LOST_AFTER
            )
        )
        for run in lost:
            if ModelVersion.objects.filter(run=run).exists():
                _end(run, Status.SUCCEEDED, run.progress, "")
            elif run.lost_workers + 1 < MAX_LOST_WORKERS:
                _requeue(run, lost_workers=run.lost_workers + 1)
            else:
                error = (
                    f"Its process ended without a word, {MAX_LOST_WORKERS} times, last in stage "
                    f"{run.progress['stage']!r}. Most often the system ended it for want of memory:"
                    " ask for fewer variables, or give the training worker more memory."
                )
                _end(run, Status.FAILED, run.progress, error)
            logger.warning("Run %s had lost its process: now %s", run.pk, run.status)
    return lost


def run_release() -> None:
    """Put the running run back into the queue: its worker is being stopped, and is not to blame.

    Its process finds out with the next heartbeat and ends. The run begins again, with its features
    cached, when a worker is there.
    """
    with transaction.atomic():
        for run in TrainingRun.objects.select_for_update().filter(status=Status.RUNNING):
            if not ModelVersion.objects.filter(run=run).exists():
                _requeue(run, lost_workers=run.lost_workers)
                logger.info("Run %s waits until a training worker is there again", run.pk)


def _requeue(run: TrainingRun, *, lost_workers: int) -> None:
    run.status, run.progress, run.lost_workers = Status.QUEUED, progress_at("queued"), lost_workers
    run.save(update_fields=["status", "progress", "lost_workers"])


def _locked(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.select_for_update().get(pk=run.pk)


def _end(run: TrainingRun, status: str, progress: Mapping[str, Any], error: str) -> None:
    """Write the end of a run whose row is locked."""
    run.status, run.error = status, error
    if status == Status.SUCCEEDED:
        run.progress = {**progress, "percent": 100, "stage": "done", "eta_s": None}
    else:
        run.progress = {**progress, "eta_s": None}
    run.finished_at = Now()
    run.save(update_fields=["status", "error", "progress", "finished_at"])
    run.refresh_from_db(fields=["finished_at"])


def retry_database(write: Callable[[], Result]) -> Result:
    """Return what `write` gives, trying again for RETRY_FOR_S while the database is away.

    `write` must do no harm when it runs twice: a commit may arrive and its answer be lost.
    """
    deadline = time.monotonic() + RETRY_FOR_S
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            logger.warning("The database does not answer, trying again: %s", error)
            connection.close()
            time.sleep(RETRY_PAUSE_S)
