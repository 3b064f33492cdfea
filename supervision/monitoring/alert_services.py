"""Raises, resolves and acknowledges alerts. Each function is safe to repeat.

Nothing is sent from here: raising a new alert creates messages for `alert_delivery` in the same
transaction.
"""

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from common.messages import Text
from mlmodels.models import ModelVersion
from supervision.models import Alert
from supervision.monitoring.alert_delivery import messages_create

logger = logging.getLogger(__name__)


def alert_raise(
    *,
    kind: str,
    value: float,
    threshold: float,
    version: ModelVersion | None = None,
    detail: Text = "",
    since: datetime | None = None,
) -> Alert:
    """Open an alert, or update the unresolved one of this kind and model; return it.

    Only a new alert is sent to people, and only a new alert uses `since` (default: now). The row
    stays locked until the caller's transaction ends.
    """
    measurement = {"value": value, "threshold": threshold, "detail": detail}
    with transaction.atomic():
        unresolved = Alert.objects.exclude(status=Alert.Status.RESOLVED)
        locked: Alert | None = None
        while locked is None:  # again if it is resolved before it is locked
            found, is_new = unresolved.get_or_create(
                kind=kind,
                model_version=version,
                defaults={**measurement, "since": since or timezone.now()},
            )
            locked = unresolved.select_for_update().filter(pk=found.pk).first()
        alert = locked
        if is_new:
            messages_create(alert=alert)
            logger.warning("Alert: %s, %s (threshold %s)", alert, value, threshold)
        else:
            for field, measured in measurement.items():
                setattr(alert, field, measured)
            alert.measured_at = timezone.now()
            alert.save(update_fields=[*measurement, "measured_at"])
    return alert


def alerts_resolve(*, kind: str, version: ModelVersion | None = None) -> int:
    """Resolve the alert of this kind and model; return how many were unresolved, 0 or 1.

    Call it once the cause no longer exists. Without a version: the alert that is not about a model.
    """
    return _resolve(Alert.objects.filter(kind=kind, model_version=version))


def alerts_resolve_of_other_versions(*, version: ModelVersion | None) -> int:
    """Resolve the alerts about versions other than `version`; return how many there were.

    `version` is the one in production; without one, the alerts about all versions are resolved.
    An alert about a better version stays: that version is not in production.
    """
    others = Alert.objects.filter(model_version__isnull=False)
    others = others.exclude(kind=Alert.Kind.BETTER_VERSION)
    return _resolve(others if version is None else others.exclude(model_version=version))


def _resolve(alerts: QuerySet[Alert]) -> int:
    return alerts.exclude(status=Alert.Status.RESOLVED).update(
        status=Alert.Status.RESOLVED, resolved_at=timezone.now()
    )


def alert_acknowledge(*, alert: Alert, by: User) -> Alert:
    """Acknowledge an open alert, so that it stays quiet until it is resolved; return it.

    An alert that is already acknowledged or resolved does not change.
    """
    Alert.objects.filter(pk=alert.pk, status=Alert.Status.OPEN).update(
        status=Alert.Status.ACKNOWLEDGED, acknowledged_by=by, acknowledged_at=timezone.now()
    )
    alert.refresh_from_db()
    return alert
