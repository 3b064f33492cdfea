"""What an alert says to a person: what happened, to which thing, since when, and what to do now."""

from datetime import datetime

from django.utils import timezone

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
            f"from {threshold:.0f} on a new training is due."
        )
    if alert.kind == Kind.UNANSWERED:
        return (
            f"A prediction has been without an answer for {value:.0f} minutes (limit: "
            f"{threshold:.0f}), and no new photo has been scored since."
        )
    times = "once" if value == 1 else f"{value:.0f} times in a row"
    return f"{alert.get_kind_display().capitalize()} {times}."


def alert_advice(alert: Alert) -> str:
    """Return what to do now."""
    if alert.kind == Kind.LOW_ACCURACY:
        return (
            "Look at the evaluation's confusion matrix, and whether the labels of the evaluation "
            "photos are right. Then train or fine-tune a version and promote it if it is better, "
            "or roll back to the one before."
        )
    if alert.kind == Kind.NEW_PHOTOS:
        if alert.run_id is not None:
            return (
                f"Run {alert.run_id} was started by itself. Its version waits in Staging: compare "
                "it with the one in production, and promote it if it is better."
            )
        return "Start a training, compare its version with the one in production, and promote it."
    if alert.kind == Kind.UNANSWERED:
        return (
            "Look at ./champipy status for a process that is down and at ./champipy logs inference "
            "and ./champipy logs fetch for why; see in the admin that a version is in production. "
            "Requests that are pending are answered when the workers are back."
        )
    return "Mend what the error names, then check again: ./champipy check, or the button at Alerts."


def alert_report(alert: Alert) -> str:
    """Return the whole alert as a message's text."""
    lines = [alert_summary(alert), "", f"Since: {_when(alert.since)}"]
    if alert.detail:
        lines.append(alert.detail)
    if alert.acknowledged_at is not None:
        lines.append(f"Acknowledged: {_when(alert.acknowledged_at)} by {alert.acknowledged_by}")
    if alert.resolved_at is not None:
        lines.append(f"Over since: {_when(alert.resolved_at)}")
    lines += ["", "What to do:", alert_advice(alert), "", "All alerts: Alerts in the admin."]
    return "\n".join(lines)


def _when(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M %Z")
