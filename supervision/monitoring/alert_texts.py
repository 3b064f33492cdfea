"""The texts of alerts: what happened, to which thing, since when, and what to do now."""

from datetime import datetime

from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext

from common.messages import CountedMessage, Message
from common.wording import format_bytes
from supervision.models import Alert

Kind = Alert.Kind


_ADVICE: dict[str, Message] = {
    Kind.LOW_ACCURACY: Message(
        "Look at the evaluation's confusion matrix, and check the labels of the evaluation photos. "
        "Then train or fine-tune a version and promote it if it is better, or roll back to the "
        "previous version."
    ),
    Kind.NEW_PHOTOS: Message(
        "Start a training. Compare its version, in Staging, with the one in production, and "
        "promote it if it is better."
    ),
    Kind.UNANSWERED: Message(
        "Run ./champipy status to see which process is down, and ./champipy logs inference and "
        "./champipy logs fetch to see why. Check in the admin that a version is in production. "
        "Pending requests are answered when the workers are back."
    ),
    Kind.DISK_FULL_SOON: Message(
        "Run ./champipy prune --dry-run to see what is kept longer than the settings "
        "CHAMPIPY_KEEP_… say, and lower them if that is not enough. The folder cache/ in "
        "CHAMPIPY_HOME may be emptied while no run is running. The admin's first page shows what "
        "takes the space, and whose photos. Or give CHAMPIPY_HOME a larger disk."
    ),
    Kind.STORE_UNAVAILABLE: Message(
        "See whether the store that CHAMPIPY_STORAGE_URL names is up and has space, and whether "
        "its key may list, read, write and delete objects. Until then new photos are refused, and "
        "those that were accepted wait. ./champipy check --database default tries it out."
    ),
}
_CHECK_FAILED = Message(
    "Fix the cause that the error names. Then check again: run ./champipy check, or press Check "
    "now at Alerts in the admin."
)


def alert_summary(alert: Alert) -> str:
    """Return one line with the value and the threshold."""
    return str(_summary(alert))


def _summary(alert: Alert) -> Message:
    model, value, threshold = alert.model_version, alert.value, alert.threshold
    if alert.kind == Kind.LOW_ACCURACY:
        return Message(
            "The accuracy of %(model)s is %(value).1f %%, below the target of %(threshold)g %%.",
            model=model,
            value=value,
            threshold=threshold,
        )
    if alert.kind == Kind.NEW_PHOTOS:
        return Message(
            "%(value).0f training photos have come in since %(model)s went into production; a new "
            "training is due at %(threshold).0f.",
            model=model,
            value=value,
            threshold=threshold,
        )
    if alert.kind == Kind.UNANSWERED:
        return Message(
            "A prediction has been unanswered for %(value).0f minutes (limit: %(threshold).0f), "
            "and no new photo has been scored since then.",
            value=value,
            threshold=threshold,
        )
    if alert.kind == Kind.DISK_FULL_SOON:
        return Message(
            "The disk of CHAMPIPY_HOME has %(left)s left, less than %(limit)s.",
            left=format_bytes(1e6 * value),
            limit=format_bytes(1e6 * threshold),
        )
    if alert.kind == Kind.BETTER_VERSION:
        return Message(
            "%(model)s came with ChampiPy and waits in Staging. %(reason)s",
            model=model,
            reason=alert.detail,
        )
    return CountedMessage(
        "%(what)s once.",
        "%(what)s %(count)d times in a row.",
        round(value),
        what=capfirst(alert.get_kind_display()),
    )


def alert_advice(alert: Alert) -> str:
    """Return what to do now."""
    if alert.kind == Kind.NEW_PHOTOS and alert.run_id is not None:
        return str(
            Message(
                "Run %(id)d was started automatically. Compare its version, in Staging, with the "
                "one in production, and promote it if it is better.",
                id=alert.run_id,
            )
        )
    if alert.kind == Kind.BETTER_VERSION and alert.model_version_id is not None:
        page = reverse("admin:mlmodels_modelversion_promote", args=[alert.model_version_id])
        return str(
            Message(
                "Compare it with the version in production at %(page)s and promote it there if "
                "you want it. Nothing is promoted by itself.",
                page=page,
            )
        )
    return str(_ADVICE.get(alert.kind, _CHECK_FAILED))


def alert_report(alert: Alert) -> str:
    """Return the text of a message about the alert: all that is known of it, and what to do."""
    since = Message("Since: %(time)s", time=_when(alert.since))
    lines = [alert_summary(alert), "", str(since)]
    if alert.detail and alert.kind != Kind.BETTER_VERSION:  # whose summary has it
        lines.append(str(alert.detail))
    if alert.acknowledged_at is not None:
        acknowledged = Message(
            "Acknowledged: %(time)s by %(name)s",
            time=_when(alert.acknowledged_at),
            name=alert.acknowledged_by,
        )
        lines.append(str(acknowledged))
    if alert.resolved_at is not None:
        lines.append(str(Message("Resolved: %(time)s", time=_when(alert.resolved_at))))
    lines += ["", gettext("What to do:"), alert_advice(alert)]
    return "\n".join([*lines, "", gettext("See all alerts in the admin: Alerts.")])


def _when(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M %Z")
