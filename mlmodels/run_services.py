"""Writes on training runs. The row is the truth; the broker only wakes the worker.

The process that writes a running run's heartbeat *holds* the run. The holder's writes change the
row only while the run is running and its `attempt` is the holder's (`run_update`). If the run was
cancelled, or its process was presumed dead, the next write changes nothing and raises RunLost.
"""

import logging
import os
import secrets
import socket
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
from common.messages import Message, Text
from common.storage import StorageUnavailable
from mlmodels.models import ModelVersion, TrainingRun

logger = logging.getLogger(__name__)

Status = TrainingRun.Status
Result = TypeVar("Result")

PROCESS_FAMILY: Final = f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(8)}"
"""Names this process and those that it forks, such as the children of a worker."""
LOST_AFTER = timedelta(seconds=60)
"""A run whose heartbeat is older than this, by the database's clock, has lost its process."""
MAX_LOST_WORKERS: Final = 2
"""A run that has lost this many processes fails."""
RETRY_FOR_S: Final = 300.0
"""How long a write that must not be lost is retried."""
RETRY_PAUSE_S: Final = 2.0


class RunLost(Exception):  # noqa: N818 - a state, not a fault
    """The process no longer holds the run: the run was cancelled, or the process presumed dead."""


class RunEnded(Exception):  # noqa: N818 - a state, not a fault
    """The run has ended, so there is nothing to cancel."""


def run_create(
    *,
    kind: str,
    parameters: Mapping[str, Any],
    parent: ModelVersion | None,
    requested_by: User | None,
) -> TrainingRun:
    """Queue a run and return it. `supervision.trainings.services.run_request` checks it first."""
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
    """Return a run's `progress`: `percent` is 0 to 100, `eta_s` the seconds left, if known."""
    return {
        "percent": percent,
        "stage": stage,
        "epoch": epoch,
        "epochs": epochs,
        "eta_s": eta_s,
    }


def run_claim(*, run: TrainingRun | None = None) -> TrainingRun | None:
    """Start the oldest queued run, or the given one, and return it.

    Return None if nothing is queued or another run is running. If several processes claim at the
    same time, one of them gets the run: a constraint allows only one running row.
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
                holder=PROCESS_FAMILY,
                heartbeat_at=Now(),
                started_at=Now(),
            )
    except IntegrityError:  # one_run_at_a_time
        return None
    chosen.refresh_from_db()
    return chosen


def _held_row(run: TrainingRun) -> QuerySet[TrainingRun]:
    return TrainingRun.objects.filter(pk=run.pk, status=Status.RUNNING, attempt=run.attempt)


def run_update(*, run: TrainingRun, **values: Any) -> None:
    """Write fields of a run that this process holds.

    Raises RunLost, and changes nothing, if this process does not hold the run.
    """
    if not _held_row(run).update(**values):
        raise RunLost(f"This process no longer holds run {run.pk}.")
    for field, value in values.items():
        setattr(run, field, value)


def run_heartbeat(*, run: TrainingRun) -> None:
    """Record that this process, which holds the run, is alive. Raises RunLost if it does not."""
    if not _held_row(run).update(heartbeat_at=Now()):
        raise RunLost(f"This process no longer holds run {run.pk}.")


def run_lock(*, run: TrainingRun) -> None:
    """Lock the run until this transaction ends, so that it can't be cancelled or requeued.

    Registering a version calls this first, so that a cancelled run never leaves a version. Raises
    RunLost if this process does not hold the run.
    """
    if _held_row(run).select_for_update().values_list("pk").first() is None:
        raise RunLost(f"This process no longer holds run {run.pk}.")


def run_finish(*, run: TrainingRun, error: Text = "") -> None:
    """End a run that this process holds: succeeded, or failed with a readable `error`.

    Retried for RETRY_FOR_S seconds while the database is unavailable. Raises RunLost if this
    process does not hold the run.
    """

    def finish() -> None:
        with transaction.atomic():
            run_lock(run=run)
            progress = TrainingRun.objects.values_list("progress", flat=True).get(pk=run.pk)
            _end(run, Status.FAILED if error else Status.SUCCEEDED, progress, error)

    retry_database(finish)


def run_cancel(*, run: TrainingRun) -> TrainingRun:
    """Cancel a queued or running run and return it. Its process ends within ten seconds.

    Raises RunEnded if the run has ended, or has registered its version and is about to end.
    """
    with transaction.atomic():
        current = _locked(run)
        if current.status not in (Status.QUEUED, Status.RUNNING):
            raise RunEnded(
                Message(
                    "Run %(id)d has already ended: %(status)s.", id=run.pk, status=current.status
                )
            )
        if ModelVersion.objects.filter(run=run).exists():
            raise RunEnded(
                Message(
                    "Run %(id)d is done: %(version)s is registered.",
                    id=run.pk,
                    version=current.model_version,
                )
            )
        _end(current, Status.CANCELLED, current.progress, "")
    logger.info("Run %s was cancelled", run.pk)
    return current


def runs_recover() -> list[TrainingRun]:
    """Requeue or end the runs whose process has died, and return them.

    When its first process dies, a run is queued again; its features are cached, so it catches up
    quickly. When the second dies, it fails. A run that has registered its version succeeds.
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
                error = Message(
                    "Its process ended unexpectedly %(count)d times, last in stage '%(stage)s'. "
                    "The usual cause is too little memory: train fewer variables, or give the "
                    "training worker more memory.",
                    count=MAX_LOST_WORKERS,
                    stage=run.progress["stage"],
                )
                _end(run, Status.FAILED, run.progress, error)
            logger.warning("The process of run %s died; the run is now %s", run.pk, run.status)
    return lost


def run_release() -> None:
    """Queue the run of this worker again because it is being stopped; no lost worker is counted.

    A run that another worker or a command on a terminal holds is left alone. The run's process
    notices at the next heartbeat and ends. The run starts again, with its features cached, when a
    training worker is available.
    """
    with transaction.atomic():
        held = TrainingRun.objects.filter(status=Status.RUNNING, holder=PROCESS_FAMILY)
        for run in held.select_for_update():
            if not ModelVersion.objects.filter(run=run).exists():
                _requeue(run, lost_workers=run.lost_workers)
                logger.info("Run %s is queued again: its worker is being stopped", run.pk)


def _requeue(run: TrainingRun, *, lost_workers: int) -> None:
    run.status, run.progress, run.lost_workers = Status.QUEUED, progress_at("queued"), lost_workers
    run.save(update_fields=["status", "progress", "lost_workers"])


def _locked(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.select_for_update().get(pk=run.pk)


def _end(run: TrainingRun, status: str, progress: Mapping[str, Any], error: Text) -> None:
    """Write the end of a run. The caller has locked its row."""
    run.status, run.error = status, error
    if status == Status.SUCCEEDED:
        run.progress = {**progress, "percent": 100, "stage": "done", "eta_s": None}
    else:
        run.progress = {**progress, "eta_s": None}
    run.finished_at = Now()
    run.save(update_fields=["status", "error", "progress", "finished_at"])
    run.refresh_from_db(fields=["finished_at"])


def retry_database(write: Callable[[], Result]) -> Result:
    """Return the result of `write`, retried for RETRY_FOR_S seconds while the database is away.

    Or while the object store is.

    `write` must be idempotent: a commit may succeed although its confirmation is lost. After
    RETRY_FOR_S, or inside a transaction, the error is raised.
    """
    deadline = time.monotonic() + RETRY_FOR_S
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError, StorageUnavailable) as error:
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            logger.warning("The database or the object store does not answer; retrying: %s", error)
            connection.close()
            time.sleep(RETRY_PAUSE_S)
