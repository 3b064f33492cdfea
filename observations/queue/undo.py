"""Takes back what a verifier did last in the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import User
from observations.models import Observation
from observations.queue.leases import queue_take_back
from observations.queue.selectors import last_decided
from observations.services import observation_decide


@dataclass(frozen=True)
class Skip:
    """A find that a verifier has released."""

    number: int
    """Id of the observation."""
    at: datetime


@dataclass(frozen=True)
class Undone:
    """What was taken back: a decision, or a skip, of a find that the user holds again.

    `observation` is None if it could not be: somebody else has the find now.
    """

    observation: Observation | None
    skip: Skip | None = None
    decision: str = ""
    """The decision that was withdrawn."""


def queue_undo(*, user: User, skips: Sequence[Skip]) -> Undone | None:
    """Take back the user's last decision or, if that was later, the last of `skips`.

    Return None if there is nothing to take back.
    """
    last = last_decided(user)
    skip = max(skips, key=lambda each: each.at, default=None)
    if skip is not None and (last is None or last.decided_at is None or last.decided_at < skip.at):
        return Undone(queue_take_back(number=skip.number, user=user), skip=skip)
    if last is None:
        return None
    decision = last.decision
    try:
        observation_decide(observation=last, decision="", decision_name="", by=user)
    except Observation.DoesNotExist:
        return Undone(None, decision=decision)
    return Undone(last, decision=decision)
