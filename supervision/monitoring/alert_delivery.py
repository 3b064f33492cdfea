"""Sends alerts to people outside the admin: by mail and to Apprise addresses.

A message is a row. It is sent again, without limit and after growing pauses, until its channel
accepts it. If a process dies after sending a message and before recording that, the message is sent
twice rather than never.
"""

import hashlib
import logging
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import DatabaseError, transaction
from django.utils import timezone, translation

from accounts.models import User
from common.messages import Message, message_of
from supervision.models import Alert, AlertMessage
from supervision.monitoring.alert_texts import alert_report, alert_summary

logger = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(minutes=1)
MAX_PAUSE = timedelta(hours=1)


class NotDelivered(Exception):  # noqa: N818 - a state of affairs
    """The channel did not accept the message."""


def messages_create(*, alert: Alert) -> None:
    """Create a message for each channel that is configured now."""
    if settings.EMAIL_URL:
        AlertMessage.objects.create(alert=alert, channel=AlertMessage.Channel.MAIL)
    for url in settings.CHAMPIPY_ALERT_URLS:
        AlertMessage.objects.create(
            alert=alert, channel=AlertMessage.Channel.APPRISE, target=_target(url)
        )


def messages_deliver() -> int:
    """Send the messages that are due; return how many were delivered."""
    due = AlertMessage.objects.filter(next_attempt_at__lte=timezone.now())
    return sum(_deliver(pk) for pk in list(due.values_list("pk", flat=True)))


def _deliver(pk: int) -> bool:
    """Send one due message, unless another process is at it; return whether it was delivered."""
    with transaction.atomic():
        message = (
            AlertMessage.objects.select_for_update(skip_locked=True)
            .filter(pk=pk, next_attempt_at__lte=timezone.now())
            .first()
        )
        if message is None:
            return False
        try:
            if message.channel == AlertMessage.Channel.MAIL:
                _send_mail(message)
            else:
                _send_by_apprise(message)
        except DatabaseError:
            raise
        except Exception as error:
            logger.warning("%s was not delivered: %s", message, error)
            pause = min(FIRST_PAUSE * 2 ** min(message.attempts, 10), MAX_PAUSE)
            message.attempts += 1
            message.error = Message(
                "%(error)s: %(reason)s", error=type(error).__name__, reason=message_of(error)
            )
            message.next_attempt_at = timezone.now() + pause
        else:
            message.attempts += 1
            message.error, message.next_attempt_at = "", None
            message.sent_at = timezone.now()
        message.save()
    return message.sent_at is not None


def _send_mail(message: AlertMessage) -> None:
    administrators = User.objects.filter(is_staff=True, is_active=True).exclude(email="")
    recipients: dict[str, set[str]] = {}
    for email, language in administrators.values_list("email", "language"):
        recipients.setdefault(language or settings.LANGUAGE_CODE, set()).add(email)
    if not recipients:
        raise NotDelivered(
            Message("No administrator has an e-mail address. Give them one in the admin.")
        )
    with get_connection() as connection:  # one for all: they all accept it, or it is sent again
        connection.send_messages(
            [
                _mail(message, language, sorted(emails))
                for language, emails in sorted(recipients.items())
            ]
        )


def _mail(message: AlertMessage, language: str, recipients: list[str]) -> EmailMessage:
    with translation.override(language):
        return EmailMessage(
            subject=str(Message("ChampiPy: %(summary)s", summary=alert_summary(message.alert))),
            body=alert_report(message.alert),
            to=recipients,
            # The same at each attempt, so that a message that arrives twice can be recognised.
            headers={"Message-ID": f"<alert-{message.alert_id}-{message.pk}-{language}@champipy>"},
        )


def _send_by_apprise(message: AlertMessage) -> None:
    import apprise  # slow: a second, and a hundred services

    urls = {_target(url): url for url in settings.CHAMPIPY_ALERT_URLS}
    if message.target not in urls:
        raise NotDelivered(Message("Its address is no longer in CHAMPIPY_ALERT_URLS."))
    channel = apprise.Apprise()
    if not channel.add(urls[message.target]):
        raise NotDelivered(
            Message("Apprise does not know this kind of address. Fix CHAMPIPY_ALERT_URLS.")
        )
    if not channel.notify(title=alert_summary(message.alert), body=alert_report(message.alert)):
        scheme = urls[message.target].split(":")[0]  # the rest may be secret
        raise NotDelivered(
            Message("The %(scheme)s address did not accept the message.", scheme=scheme)
        )


def _target(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
