"""Writes at Mushroom Observer that a user clicked: recorded by web, sent once by a worker.

The row is the truth. A worker takes a pending row, looks at the observation there, and only if it
is as the user saw it marks the row as being sent. When it is connected to the site, right before it
sends, it sets `sent_at`, unless the row was taken from it meanwhile: a worker that was suspended
sends nothing that another one does. Nothing is ever sent from a row with `sent_at`: what became of
one whose worker died is found out by looking (`write_recovery.py`).
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from common.messages import Message, Text
from observations.key_encryption import UnreadableKey, key_decrypt
from observations.key_services import UNREADABLE, click_announce, is_about_the_key, key_checked
from observations.models import MushroomObserverKey, MushroomObserverWrite, Observation
from observations.mushroom_observer import answers
from observations.mushroom_observer.client import observation_read
from observations.mushroom_observer.errors import (
    MushroomObserverError,
    OutcomeUnknownError,
    RefusedError,
)
from observations.mushroom_observer.transport import ApiKey
from observations.mushroom_observer.writes import (
    Written,
    comment_post,
    naming_propose,
    naming_vote,
)
from observations.mushroom_observer_services import observation_reread
from observations.write_errors import WRITE_FAILURES, NotWritten
from observations.write_selectors import seen_of, seen_there

logger = logging.getLogger(__name__)

TAKEN_FOR = timedelta(minutes=3)
"""How long a worker may look at the site before another one takes the write."""
SENT_WITHIN = timedelta(seconds=90)
"""A worker that has marked a write and has not sent it by then loses it: a turn comes sooner."""
LOOK_AFTER = timedelta(seconds=90)
"""After being sent by a worker that still runs, a write is done at the site or never will be: a
call ends sooner."""
DONE_LATE = Message(
    "It was done after all: the worker that sent it was suspended for minutes. You have clicked "
    "again meanwhile: look at the observation there."
)
POLL_S = 0.5

Kind, State = MushroomObserverWrite.Kind, MushroomObserverWrite.State


class _TakenAway(Exception):  # noqa: N818 - a condition to report, not a fault
    """The write was taken from this worker, which must not send it."""


def write_create(
    *, user: User, observation: Observation, kind: str, content: dict[str, Any], seen: str
) -> MushroomObserverWrite:
    """Record what a user wants written on an observation, have a worker send it; return the row.

    `content` has `naming` and `vote`, `name` and `vote`, or `summary` and `content`. `seen` is what
    the user was told of the observation (`seen_of`). The same click twice is one row; one that
    failed may be clicked again, and one that is unknown for good is looked for again.
    Raises NotWritten, and records nothing, if this cannot be sent now.
    """
    if observation.mushroom_observer_id is None:
        raise NotWritten("not_from_mushroom_observer")
    same = {"user": user, "mushroom_observer_id": observation.mushroom_observer_id}
    text = json.dumps([kind, content, seen], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    twins = MushroomObserverWrite.objects.filter(**same, digest=digest).exclude(state=State.FAILED)
    if twin := twins.first():
        return _looked_for_again(twin)
    key = MushroomObserverKey.objects.filter(user=user).exclude(ciphertext="").first()
    if key is None:
        raise NotWritten("mushroom_observer_key_missing")
    if seen != seen_of(observation):
        raise NotWritten("observation_changed")
    try:
        with transaction.atomic():
            write = MushroomObserverWrite.objects.create(
                **same,
                observation=observation,
                kind=kind,
                content=content,
                seen=seen,
                digest=digest,
                site_user_id=key.site_user_id,
                next_step_at=timezone.now(),
            )
    except IntegrityError as error:  # of two clicks at once the other was faster
        if twin := twins.first():
            return twin
        raise NotWritten("write_open") from error
    click_announce()
    return write


def _looked_for_again(write: MushroomObserverWrite) -> MushroomObserverWrite:
    """Return a write. If it is unknown and no longer looked for, have it looked for again.

    Raises NotWritten if its user has another write open there.
    """
    given_up = MushroomObserverWrite.objects.filter(
        pk=write.pk, state=State.UNKNOWN, next_step_at=None
    )
    try:
        with transaction.atomic():
            given_up.update(next_step_at=timezone.now(), looks=0)
    except IntegrityError as error:
        raise NotWritten("write_open") from error
    return write


def write_send(*, write_id: int) -> None:
    """Send a pending write, unless another worker has taken it. Runs in worker monitoring."""
    now = timezone.now()
    until = now + TAKEN_FOR
    pending = MushroomObserverWrite.objects.filter(pk=write_id, state=State.PENDING)
    if not pending.filter(next_step_at__lte=now).update(next_step_at=until):
        return
    write = pending.select_related("user", "observation").filter(next_step_at=until).first()
    if write is None:
        return
    try:
        key = key_for(write)
        there = observation_read(write.mushroom_observer_id, is_fresh=True)
        _check(write, there)
    except NotWritten as refused:
        write_fail(write, refused.code, refused.detail)
        return
    except MushroomObserverError as error:
        code = error.code if error.code in WRITE_FAILURES else "mushroom_observer_unavailable"
        write_fail(write, code, error.detail)
        return
    if (marked_until := _mark_sending(write, until, there)) is not None:
        _send(write, key, marked_until)


def key_for(write: MushroomObserverWrite) -> ApiKey:
    """Return the key of the write's user. Raises NotWritten if there is none any more."""
    if write.user is None or not write.user.is_active:
        raise NotWritten(
            "mushroom_observer_key_missing", Message("The user is deleted or deactivated.")
        )
    stored = MushroomObserverKey.objects.filter(user=write.user).exclude(ciphertext="").first()
    if stored is None:
        raise NotWritten("mushroom_observer_key_missing")
    try:
        return key_decrypt(stored.ciphertext, user_id=stored.user_id)
    except UnreadableKey:
        raise NotWritten("mushroom_observer_key_missing", UNREADABLE) from None


def _check(write: MushroomObserverWrite, there: answers.Observation) -> None:
    """Raise NotWritten unless the observation is as it was seen, and has not that name yet."""
    if seen_there(there) != write.seen:
        raise NotWritten("observation_changed")
    if write.kind == Kind.NAMING:
        wanted = write.content["name"].casefold()
        if any(naming.name.text.casefold() == wanted for naming in there.namings):
            raise NotWritten("already_proposed")


def _mark_sending(
    write: MushroomObserverWrite, taken_until: datetime, there: answers.Observation
) -> datetime | None:
    """Mark the write as being sent; return until when this worker may, None if it has lost it."""
    before = [each.id for each in there.namings] + [each.id for each in there.comments]
    until = timezone.now() + SENT_WITHIN
    mine = MushroomObserverWrite.objects.filter(
        pk=write.pk, state=State.PENDING, next_step_at=taken_until
    )
    is_mine = mine.update(state=State.SENDING, sent_at=None, next_step_at=until, known_ids=before)
    return until if is_mine else None


def _note_sent(write: MushroomObserverWrite, marked_until: datetime) -> None:
    """Note that the write is sent now. Raises _TakenAway if this worker has lost it."""
    now = timezone.now()
    mine = MushroomObserverWrite.objects.filter(
        pk=write.pk, state=State.SENDING, next_step_at=marked_until, next_step_at__gt=now
    )
    if not mine.update(sent_at=now, next_step_at=now + LOOK_AFTER):
        raise _TakenAway


def _send(write: MushroomObserverWrite, key: ApiKey, marked_until: datetime) -> None:
    try:
        written = _written(write, key, partial(_note_sent, write, marked_until))
    except _TakenAway:
        logger.warning("Write %s was taken from this worker, which sent nothing", write.pk)
    except OutcomeUnknownError as error:
        MushroomObserverWrite.objects.filter(pk=write.pk, state=State.SENDING).update(
            state=State.UNKNOWN, error_code=error.code, error_detail=error.detail
        )
    except MushroomObserverError as error:
        if isinstance(error, RefusedError) and is_about_the_key(error):
            _refuse_key(write, error)
        code = error.code if error.code in WRITE_FAILURES else "mushroom_observer_unavailable"
        write_fail(write, code, error.detail)
    else:
        write_done(write, ids=list(written.ids), site_user_id=written.user_id)


def _written(
    write: MushroomObserverWrite, key: ApiKey, before_sending: Callable[[], object]
) -> Written:
    """Send the write. Raises a MushroomObserverError, and what `before_sending` raises."""
    content, number = write.content, write.mushroom_observer_id
    if write.kind == Kind.VOTE:
        return naming_vote(
            key=key,
            naming_id=content["naming"],
            vote=content["vote"],
            before_sending=before_sending,
        )
    if write.kind == Kind.NAMING:
        return naming_propose(
            key=key,
            observation_id=number,
            name=content["name"],
            vote=content["vote"],
            before_sending=before_sending,
        )
    return comment_post(
        key=key,
        observation_id=number,
        summary=content["summary"],
        content=content["content"],
        before_sending=before_sending,
    )


def _refuse_key(write: MushroomObserverWrite, error: RefusedError) -> None:
    stored = MushroomObserverKey.objects.filter(user=write.user).first()
    if stored is not None:
        key_checked(stored, MushroomObserverKey.Status.REFUSED, detail=error.detail)


def write_done(
    write: MushroomObserverWrite,
    *,
    ids: list[int],
    site_user_id: int | None,
    was_found: bool = False,
) -> None:
    """Store that a write was done there, and have the observation read again.

    So is one that a look has not found, and whose worker tells only now that it was done.
    """
    fields: dict[str, Any] = {"answer": {"ids": ids, "was_found": was_found}}
    if site_user_id is not None:
        fields["site_user_id"] = site_user_id
    not_found = MushroomObserverWrite.objects.filter(
        pk=write.pk, state=State.FAILED, error_code="mushroom_observer_not_done"
    )
    try:
        with transaction.atomic():
            not_found.update(state=State.UNKNOWN)
            _end(write, State.SENT, **fields, error_code="", error_detail="")
    except IntegrityError:  # the user has clicked again
        not_found.update(answer=fields["answer"], error_detail=DONE_LATE)


def write_fail(write: MushroomObserverWrite, code: str, detail: Text) -> None:
    """Store that nothing was done there, and why (`code` is a key of WRITE_FAILURES)."""
    _end(write, State.FAILED, error_code=code, error_detail=detail)


def _end(write: MushroomObserverWrite, state: str, **fields: Any) -> None:
    still_open = MushroomObserverWrite.objects.filter(
        pk=write.pk, state__in=MushroomObserverWrite.OPEN
    )
    still_open.update(state=state, finished_at=timezone.now(), next_step_at=None, **fields)
    told = (write.pk, write.kind, write.user_id, state, fields["error_code"])
    logger.info("Write %s (%s of user %s): %s %s", *told)
    is_news = state == State.SENT or fields["error_code"] in {
        "observation_changed",
        "already_proposed",
    }
    if is_news and write.observation is not None:
        observation_reread(observation=write.observation)


def write_wait(*, write: MushroomObserverWrite, timeout_s: float) -> None:
    """Wait until a write is sent, failed or unknown, at most `timeout_s` seconds; reread it."""
    deadline = time.monotonic() + timeout_s
    while write.state in (State.PENDING, State.SENDING):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, POLL_S))
        write.refresh_from_db()
