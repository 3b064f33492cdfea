"""Finds out what became of a write whose worker died, or that got no clear answer.

Nothing is sent again. It is looked for at the site: there is the vote, the name or the comment, or
it was not done and the user may click again. A worker that vanished may only be suspended, and send
it later; so one look is not enough then.
"""

from datetime import timedelta

from django.utils import timezone

from common.messages import Message
from observations.models import MushroomObserverWrite
from observations.mushroom_observer import answers
from observations.mushroom_observer.client import key_owner, observation_read
from observations.mushroom_observer.errors import MushroomObserverError, NotFoundError
from observations.write_errors import WRITE_FAILURES, NotWritten
from observations.write_services import key_for, write_done, write_fail

MAX_LOOKS = 15
"""Over about a day. Then it is looked for again only if the user clicks again."""
LOOK_PAUSE = timedelta(minutes=3)
"""After a look began; it doubles each time. A look takes less."""
MAX_LOOK_PAUSE = timedelta(hours=2)
LOOKS_FOR_LOST_WORKER = 3
"""Over about ten minutes: by then a connection that a suspended worker left open is closed."""
NOT_THERE_YET = Message(
    "It was not there when ChampiPy last looked. But the worker that sent it stopped before the "
    "answer came, so it may still be done: ChampiPy looks again in a few minutes. Look at the "
    "observation there before you do it yourself."
)
NOT_FOUND_OUT = Message(
    "Mushroom Observer gave no clear answer, and whether it was done could not be found out. Look "
    "at the observation there; if you click again, it is looked for again before it is sent."
)

Kind, State = MushroomObserverWrite.Kind, MushroomObserverWrite.State


def write_look(*, write_id: int) -> None:
    """Look at the site whether an unknown write was done, and store that."""
    now = timezone.now()
    unknown = MushroomObserverWrite.objects.filter(pk=write_id, state=State.UNKNOWN)
    write = unknown.select_related("user", "observation").filter(next_step_at__lte=now).first()
    if write is None:
        return
    pause = min(LOOK_PAUSE * 2**write.looks, MAX_LOOK_PAUSE)
    mine = unknown.filter(looks=write.looks)
    if not mine.update(looks=write.looks + 1, next_step_at=now + pause):
        return
    try:
        there = observation_read(write.mushroom_observer_id, is_fresh=True, is_background=True)
    except NotFoundError as error:
        write_fail(write, error.code, error.detail)
        return
    except MushroomObserverError:
        if write.looks + 1 >= MAX_LOOKS:
            unknown.update(next_step_at=None, error_detail=NOT_FOUND_OUT)
        return
    user_id = _site_user_id(write)
    if user_id is None:
        unknown.update(next_step_at=None, error_detail=NOT_FOUND_OUT)
        return
    found = _found(write, there, user_id)
    if found is None and _is_hidden(write, there):
        unknown.update(next_step_at=None, error_detail=NOT_FOUND_OUT)
    elif found is None and write.is_worker_lost and write.looks + 1 < LOOKS_FOR_LOST_WORKER:
        unknown.update(error_detail=NOT_THERE_YET)
    elif found is None:
        failure = WRITE_FAILURES["mushroom_observer_not_done"]
        write_fail(write, "mushroom_observer_not_done", failure.detail)
    else:
        write_done(write, ids=[found], site_user_id=user_id, was_found=True)


def _site_user_id(write: MushroomObserverWrite) -> int | None:
    """Return the id at the site of the user who clicked, or None if it cannot be found out."""
    if write.site_user_id is not None:
        return write.site_user_id
    try:
        return key_owner(key_for(write), is_background=True)
    except (NotWritten, MushroomObserverError):
        return None


def _is_hidden(write: MushroomObserverWrite, there: answers.Observation) -> bool:
    """Return whether the vote may be there without its owner's name: votes may be anonymous."""
    return write.kind == Kind.VOTE and any(
        vote.user.id is None and vote.value == write.content["vote"]
        for naming in there.namings
        if naming.id == write.content["naming"]
        for vote in naming.votes
    )


def _found(write: MushroomObserverWrite, there: answers.Observation, user_id: int) -> int | None:
    """Return the id of what the write made or changed, or None if it is not there."""
    content = write.content
    if write.kind == Kind.VOTE:
        namings = [each for each in there.namings if each.id == content["naming"]]
        votes = [vote.value for each in namings for vote in each.votes if vote.user.id == user_id]
        is_done = bool(namings) and (votes or [0]) == [content["vote"]]
        return content["naming"] if is_done else None
    if write.kind == Kind.NAMING:
        wanted = content["name"].casefold()
        made = [
            each.id
            for each in there.namings
            if each.owner.id == user_id and wanted.startswith(each.name.text.casefold())
        ]
    else:
        made = [
            each.id
            for each in there.comments
            if each.owner.id == user_id and each.summary == content["summary"]
        ]
    return next((number for number in made if number not in write.known_ids), None)
