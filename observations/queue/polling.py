"""Asks Mushroom Observer what is worth a look, and has it predicted in the background.

A poll first collects: it makes a QueueEntry of each find that it hears of. Then it reads those that
are to be read, and has their photos predicted. Each step is repeatable and stored before the next
one begins, so a poll may be killed at any line: the next one goes on from the rows.
"""

import logging
from datetime import datetime

from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from common.broker import send_task
from common.messages import Message, Text
from common.sessions import session_lock
from mlmodels.selectors import production_version
from observations.models import QueuePoll
from observations.mushroom_observer.errors import MushroomObserverError
from observations.queue.collecting import finds_collect
from observations.queue.names import name_ids
from observations.queue.reading import failed_retry, finds_read

logger = logging.getLogger(__name__)

POLL_TASK = "observations.tasks.poll_mushroom_observer"
EXPIRES_S = 600.0
NO_MODEL = Message("No model is in production, so Mushroom Observer was not asked.")
_LOCK = 0x706F6C6C  # "poll" in ASCII; any number that no other advisory lock has


def poll_request() -> bool:
    """Send a poll to a worker; return False if the broker does not answer."""
    return send_task(POLL_TASK, expires_s=EXPIRES_S)


def poll_switch_on() -> bool:
    """Have the site polled from now on, as the schedule says; return False if there is none.

    The first poll is sent to a worker at once. Beat adds the schedule when it starts.
    """
    schedules = list(PeriodicTask.objects.filter(task=POLL_TASK))
    for schedule in schedules:
        schedule.enabled = True
        schedule.save()  # not `update`: beat notices what is saved
    if schedules:
        poll_request()
    return bool(schedules)


def queue_poll() -> bool:
    """Collect finds and read some of them; return False if another poll is under way.

    Whatever goes wrong is noted in the poll's row, for the admin: it raises no exception.
    """
    with session_lock(_LOCK) as is_alone:
        if is_alone:
            _poll()
    return is_alone


def _poll() -> None:
    poll, _ = QueuePoll.objects.get_or_create(pk=1)
    _note(poll, begun_at=timezone.now(), finished_at=None)
    result: Text = ""
    error: Text = ""
    try:
        result = _collect_and_read(poll)
    except MushroomObserverError as refused:
        logger.warning("The poll of Mushroom Observer ended early: %s", refused.detail)
        error = refused.detail
    except Exception as fault:
        logger.exception("The poll of Mushroom Observer failed")
        error = f"{type(fault).__name__}: {fault}"
    _note(poll, finished_at=timezone.now(), result=result, error=error)


def _collect_and_read(poll: QueuePoll) -> Message:
    version = production_version()
    if version is None:
        return NO_MODEL
    failed_retry()
    ids = name_ids(poll, version.labels)
    collected = finds_collect(poll, ids)
    read = finds_read(labels=version.labels)
    return Message(
        "Heard of %(collected)d new or changed finds; %(read)d read at the site.",
        collected=collected,
        read=read,
    )


def _note(poll: QueuePoll, **fields: datetime | Text | None) -> None:
    for name, value in fields.items():
        setattr(poll, name, value)
    poll.save(update_fields=list(fields))
