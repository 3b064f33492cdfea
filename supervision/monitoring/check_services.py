"""The weekly checks, which anyone may also request manually, and the watch of every minute.

A check may run at any time and any number of times: it reports by raising and resolving alerts. Its
row records whether it has ended; a check that did not end is requested again.
"""

import logging
import shutil
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from common.broker import send_task
from common.messages import Message, Text, message_of
from common.storage import DamagedFileError, StorageUnavailable, file_store
from mlmodels.ml.artifact import ArtifactError
from mlmodels.models import TrainingRun
from mlmodels.run_services import retry_database
from mlmodels.selectors import production_version
from supervision.datasets.selectors import TooFewPhotos, evaluation_others, evaluation_set
from supervision.evaluations.services import version_evaluate
from supervision.models import Alert, Check
from supervision.monitoring.alert_delivery import messages_deliver
from supervision.monitoring.alert_services import (
    alert_raise,
    alerts_resolve,
    alerts_resolve_of_other_versions,
)
from supervision.monitoring.selectors import (
    disk_bytes_needed,
    new_photo_count,
    stage_since,
    unanswered_since,
)
from supervision.monitoring.upgrade_services import (
    shipped_version_watch,
    waiting_shipped_version,
)
from supervision.trainings.services import run_request

logger = logging.getLogger(__name__)

CHECK_TASK = "supervision.monitoring.tasks.run_check"
CHECK_EXPIRES_S = 3600
REPEAT_AFTER = timedelta(minutes=10)
"""A check takes a minute; one that has not ended by then has lost its process."""
MAX_ATTEMPTS = 3
NO_MODEL = Message("No model is in production, so there was nothing to check.")

_FAILURE_ALERTS = {
    Check.Kind.ACCURACY: Alert.Kind.ACCURACY_CHECK_FAILED,
    Check.Kind.NEW_PHOTOS: Alert.Kind.NEW_PHOTOS_CHECK_FAILED,
}


def check_request(*, kind: str) -> bool:
    """Send a check to a worker; return False if the broker does not answer."""
    return send_task(CHECK_TASK, str(kind), expires_s=CHECK_EXPIRES_S)


def check_run(*, kind: str) -> Check:
    """Carry out a check, raise or resolve its alerts, deliver messages, and return its row.

    A check that fails raises no exception: the error is stored in the row, and raises an alert. If
    the database restarts meanwhile, the check waits for it.
    """
    retry_database(lambda: _begin(kind))
    try:
        result = retry_database(_CHECKS[Check.Kind(kind)])
    except Exception as error:
        logger.exception("The check of %s failed", kind)
        message = Message(
            "%(error)s: %(reason)s", error=type(error).__name__, reason=message_of(error)
        )
        retry_database(lambda: _end(kind, error=message))
    else:
        retry_database(lambda: _end(kind, result=result))
    messages_deliver()
    return Check.objects.get(kind=kind)


def _begin(kind: str) -> None:
    now = timezone.now()
    Check.objects.get_or_create(kind=kind, defaults={"begun_at": now})
    Check.objects.filter(kind=kind).update(
        begun_at=now, finished_at=None, attempts=F("attempts") + 1
    )


@transaction.atomic
def _end(kind: str, *, result: Text = "", error: Text = "") -> None:
    Check.objects.filter(kind=kind).update(
        finished_at=timezone.now(), attempts=0, result=result, error=error
    )
    alert_kind = _FAILURE_ALERTS[Check.Kind(kind)]
    if error:
        _raise_failed(alert_kind, detail=error)
    else:
        alerts_resolve(kind=alert_kind)


def _raise_failed(kind: Alert.Kind, *, detail: Text) -> None:
    """Raise an alert whose value is the number of failures in a row."""
    previous = Alert.objects.filter(kind=kind).exclude(status=Alert.Status.RESOLVED).first()
    failures = previous.value + 1 if previous else 1
    alert_raise(kind=kind, value=failures, threshold=1, detail=detail)


def _check_accuracy() -> Message:
    """Compare the accuracy on the evaluation set, measured only once, with the target."""
    version = production_version()
    alerts_resolve_of_other_versions(version=version)
    if version is None:
        return NO_MODEL
    held_out = evaluation_set(version.labels)
    if held_out is None:
        return Message(
            "There are no evaluation photos. Import some: "
            "./champipy import_photos DIR --split evaluation"
        )
    evaluation = version_evaluate(version=version, held_out=held_out, others=evaluation_others())
    _measure_shipped_version()
    accuracy, target = round(100 * evaluation.accuracy, 2), settings.CHAMPIPY_TARGET_ACCURACY
    kind = Alert.Kind.LOW_ACCURACY
    if accuracy < target:
        alert_raise(kind=kind, version=version, value=accuracy, threshold=target)
    else:
        alerts_resolve(kind=kind, version=version)
    return Message(
        "%(version)s: %(accuracy).2f %% of %(count)d photos (target %(target)g %%)",
        version=version,
        accuracy=accuracy,
        count=evaluation.n,
        target=target,
    )


def _measure_shipped_version() -> None:
    """Evaluate a version that came with ChampiPy and waits, so that it can be compared."""
    shipped = waiting_shipped_version()
    held_out = evaluation_set(shipped.labels) if shipped else None
    if shipped is None or held_out is None:
        return
    try:
        version_evaluate(version=shipped, held_out=held_out, others=evaluation_others())
    except ArtifactError as error:  # the check is about the version in production
        logger.warning("%s was not measured: %s", shipped, error)
    shipped_version_watch()


@transaction.atomic
def _check_new_photos() -> Message:
    """Compare the number of training photos since the promotion with the threshold."""
    version = production_version()
    alerts_resolve_of_other_versions(version=version)
    if version is None:
        return NO_MODEL
    since = stage_since(version)
    count, threshold = new_photo_count(since), settings.CHAMPIPY_NEW_PHOTOS
    kind = Alert.Kind.NEW_PHOTOS
    if count >= threshold:
        alert = alert_raise(kind=kind, version=version, value=count, threshold=threshold)
        if settings.CHAMPIPY_RETRAIN:
            _retrain_once(alert)
    else:
        alerts_resolve(kind=kind, version=version)
    return Message(
        "%(version)s: %(count)d new photos since it went into production (threshold %(threshold)d)",
        version=version,
        count=count,
        threshold=threshold,
    )


def _retrain_once(alert: Alert) -> None:
    """Queue a training unless one was queued for this version since it went into production.

    The alert's row is locked: of two simultaneous checks, the second sees the run of the first.
    """
    version = alert.model_version
    assert version is not None
    has_run = Alert.objects.filter(
        kind=alert.kind, model_version=version, since__gte=stage_since(version), run__isnull=False
    ).exists()
    if has_run:
        return
    try:
        with transaction.atomic():
            alert.run = run_request(kind=TrainingRun.Kind.TRAIN, parameters={}, requested_by=None)
    except TooFewPhotos as error:
        alert.detail = Message("No retraining was started. %(reason)s", reason=message_of(error))
    except (OperationalError, InterfaceError):
        raise  # the whole check waits for the database
    except Exception as error:  # the alert is raised in any case
        logger.exception("No retraining was started")
        alert.detail = Message(
            "No retraining was started. %(error)s: %(reason)s. Start one in the admin, at Training "
            "runs.",
            error=type(error).__name__,
            reason=message_of(error),
        )
    alert.save(update_fields=["run", "detail"])


_CHECKS: dict[Check.Kind, Callable[[], Message]] = {
    Check.Kind.ACCURACY: _check_accuracy,
    Check.Kind.NEW_PHOTOS: _check_new_photos,
}


def service_watch() -> None:
    """Look for what cannot wait a week.

    That is outdated alerts, a better version, unanswered requests, the disk, the object store and
    lost checks.
    """
    alerts_resolve_of_other_versions(version=production_version())
    shipped_version_watch()
    _watch_predictions()
    _watch_disk()
    _watch_object_store()
    _repeat_checks()


def _watch_predictions() -> None:
    since = unanswered_since()
    limit = timedelta(minutes=settings.CHAMPIPY_UNANSWERED_MINUTES)
    if since is not None and (waiting := timezone.now() - since) >= limit:
        alert_raise(
            kind=Alert.Kind.UNANSWERED,
            value=waiting // timedelta(minutes=1),
            threshold=settings.CHAMPIPY_UNANSWERED_MINUTES,
            since=since,
        )
    else:
        alerts_resolve(kind=Alert.Kind.UNANSWERED)


def _watch_disk() -> None:
    disk = shutil.disk_usage(settings.CHAMPIPY_HOME)
    needed = disk_bytes_needed(disk.total)
    if disk.free < needed:
        alert_raise(
            kind=Alert.Kind.DISK_FULL_SOON, value=disk.free // 10**6, threshold=needed // 10**6
        )
    else:
        alerts_resolve(kind=Alert.Kind.DISK_FULL_SOON)


def _watch_object_store() -> None:
    store = file_store("incoming")
    kind = Alert.Kind.STORE_UNAVAILABLE
    if not store.is_remote:
        alerts_resolve(kind=kind)  # of a store that is no longer used
        return
    try:
        store.try_out()
    except (StorageUnavailable, DamagedFileError) as error:
        _raise_failed(kind, detail=str(error))
    else:
        alerts_resolve(kind=kind)


def _repeat_checks() -> None:
    """Request checks again whose process died; mark a check as failed after MAX_ATTEMPTS."""
    lost = Check.objects.filter(finished_at=None, begun_at__lt=timezone.now() - REPEAT_AFTER)
    for check in lost:
        if check.attempts < MAX_ATTEMPTS:
            check_request(kind=check.kind)
        else:
            error = Message(
                "Its process ended %(count)d times without an error message. Most often the system "
                "ended it because memory ran out: see ./champipy logs monitoring.",
                count=check.attempts,
            )
            _end(check.kind, error=error)
