"""The texts of alerts: what happened, to which thing, since when, and what to do now."""

from datetime import datetime

from django.urls import reverse
from django.utils import timezone

from common.wording import format_bytes
from supervision.models import Alert

Kind = Alert.Kind


def alert_summary(alert: Alert) -> str:
    """Return one line with the value and the threshold."""
    model, value, threshold = alert.model_version, alert.value, alert.threshold
    if alert.kind == Kind.LOW_ACCURACY:
        return f"The accuracy of {model} is {value:.2f} %, below the target of {threshold:g} %."
    if alert.kind == Kind.NEW_PHOTOS:
        return (
            f"{value:.0f} training photos have come in since {model} went into production; "
            f"a new training is due at {threshold:.0f}."
        )
    if alert.kind == Kind.UNANSWERED:
        return (
            f"A prediction has been unanswered for {value:.0f} minutes (limit: {threshold:.0f}), "
            "and no new photo has been scored since then."
        )
    if alert.kind == Kind.DISK_FULL_SOON:
        return (
            f"The disk of CHAMPIPY_HOME has {format_bytes(1e6 * value)} left, less than "
            f"{format_bytes(1e6 * threshold)}."
        )
    if alert.kind == Kind.BETTER_VERSION:
        return f"{model} came with ChampiPy and waits in Staging. {alert.detail}"
    times = "once" if value == 1 else f"{value:.0f} times in a row"
    return f"{alert.get_kind_display().capitalize()} {times}."


def alert_advice(alert: Alert) -> str:
    """Return what to do now."""
    if alert.kind == Kind.LOW_ACCURACY:
        return (
            "Look at the evaluation's confusion matrix, and check the labels of the evaluation "
            "photos. Then train or fine-tune a version and promote it if it is better, "
            "or roll back to the previous version."
        )
    if alert.kind == Kind.NEW_PHOTOS:
        done = f"Run {alert.run_id} was started automatically." if alert.run_id else ""
        return (
            f"{done or 'Start a training.'} Compare its version, in Staging, with the one in "
            "production, and promote it if it is better."
        )
    if alert.kind == Kind.BETTER_VERSION and alert.model_version_id is not None:
        page = reverse("admin:mlmodels_modelversion_promote", args=[alert.model_version_id])
        return (
            f"Compare it with the version in production at {page} and promote it there if you "
            "want it. Nothing is promoted by itself."
        )
    if alert.kind == Kind.UNANSWERED:
        return (
            "Run ./champipy status to see which process is down, and ./champipy logs inference and "
            "./champipy logs fetch to see why. Check in the admin that a version is in production. "
            "Pending requests are answered when the workers are back."
        )
    if alert.kind == Kind.DISK_FULL_SOON:
        return (
            "Run ./champipy prune --dry-run to see what is kept longer than the settings "
            "CHAMPIPY_KEEP_… say, and lower them if that is not enough. The folder cache/ in "
            "CHAMPIPY_HOME may be emptied while no run is running. The admin's first page shows "
            "what takes the space, and whose photos. Or give CHAMPIPY_HOME a larger disk."
        )
    return (
        "Fix the cause that the error names. Then check again: run ./champipy check, or press "
        "Check now at Alerts in the admin."
    )


def alert_report(alert: Alert) -> str:
    """Return the text of a message about the alert: all that is known of it, and what to do."""
    lines = [alert_summary(alert), "", f"Since: {_when(alert.since)}"]
    if alert.detail and alert.kind != Kind.BETTER_VERSION:  # whose summary has it
        lines.append(str(alert.detail))
    if alert.acknowledged_at is not None:
        lines.append(f"Acknowledged: {_when(alert.acknowledged_at)} by {alert.acknowledged_by}")
    if alert.resolved_at is not None:
        lines.append(f"Resolved: {_when(alert.resolved_at)}")
    lines += ["", "What to do:", alert_advice(alert), "", "See all alerts in the admin: Alerts."]
    return "\n".join(lines)


def _when(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M %Z")
