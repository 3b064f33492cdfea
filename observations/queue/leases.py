"""Gives the finds of the queue to verifiers, each to one at a time."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from observations.models import Observation, QueueEntry
from observations.queue.selectors import (
    IS_UNDECIDED,
    entries_in_hand,
    held_entries,
    is_free,
    waiting_entries,
)

LEASE = timedelta(minutes=15)
MAX_HELD = 4
"""Finds that one verifier holds: the one in view, and three loaded ahead."""


def queue_next(*, user: User) -> Observation | None:
    """Lease the next find of the queue to the user, and return it; None if there is none.

    Each call gives another one, until the user holds MAX_HELD. Then, and when no other waits, it
    gives those that the user holds in turn, with a new lease: who comes back after a reload gets
    the same ones again. What the user released is not given to the user again.
    """
    now = timezone.now()
    with transaction.atomic():
        # The user's own requests at the same time wait for one another, and so count right.
        list(User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk"))
        held = held_entries(user, now)
        entry = None
        if held.count() < MAX_HELD:
            free = waiting_entries(now).exclude(skipped_by=user)
            # Rows that another verifier is just being given are passed over.
            entry = free.select_for_update(skip_locked=True, of=("self",)).first()
        if entry is None:
            entry = held.select_for_update(of=("self",)).first()
        if entry is None:
            return None
        _lease(entry, user, now)
        return entry.observation


def queue_hold(*, user: User, count: int, first: int | None = None) -> list[Observation]:
    """Lease finds of the queue to the user until the user holds `count`; return all of them.

    Those that the user holds already come first, in their order and with a new lease, and the most
    urgent of the new ones after them. So who calls it again, on whatever machine, gets the same
    ones in the same order, as long as they are undecided. `first` is the id of the observation
    that is first from now on, if the user holds it.
    """
    now = timezone.now()
    with transaction.atomic():
        list(User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk"))
        entries = list(entries_in_hand(user, now).select_for_update(of=("self",)))
        entries.sort(key=lambda each: each.observation_id != first)
        if (missing := count - len(entries)) > 0:
            free = waiting_entries(now).exclude(skipped_by=user)
            entries += free.select_for_update(skip_locked=True, of=("self",))[:missing]
        for place, entry in enumerate(entries):
            entry.leased_to = user
            entry.leased_until = now + LEASE + timedelta(microseconds=place)
        QueueEntry.objects.bulk_update(entries, ["leased_to", "leased_until"])
        found = Observation.objects.in_bulk([each.observation_id for each in entries])
        return [found[each.observation_id] for each in entries]


def queue_take_back(*, number: int, user: User) -> Observation | None:
    """Lease a find to the user who released it, as if it had never been; return it.

    `number` is the observation's id. Return None if somebody else has it, or nobody can decide
    about it any more.
    """
    now = timezone.now()
    with transaction.atomic():
        mine = QueueEntry.objects.filter(observation=number, skipped_by=user)
        entry = mine.filter(IS_UNDECIDED, is_free(now)).select_for_update(of=("self",)).first()
        if entry is None:
            return None
        entry.skipped_by.remove(user)
        _lease(entry, user, now)
        return entry.observation


def queue_release(*, observation: Observation, user: User) -> None:
    """Give an undecided find of the queue back. Others may get it; the user does not again.

    Raises Observation.DoesNotExist unless the user has it.
    """
    with transaction.atomic():
        entry = _entry_of(observation)
        if entry is None or entry.leased_to_id != user.pk or _is_decided(observation):
            raise Observation.DoesNotExist
        entry.skipped_by.add(user)
        entry.leased_to = entry.leased_until = None
        entry.save(update_fields=["leased_to", "leased_until"])


def queue_decide(*, observation: Observation, decision: str, by: User) -> User | None:
    """Note in the queue that a user decides about an observation, or withdraws that.

    Return whose the observation is from now on. Who withdraws a decision gets the find back, with a
    new lease. Call it in the transaction that stores the decision.
    Raises Observation.DoesNotExist if somebody else has got the find, or decided, meanwhile.
    """
    entry = _entry_of(observation)
    owner_id = Observation.objects.values_list("user", flat=True).get(pk=observation.pk)
    if owner_id is None and entry is not None:
        owner_id = entry.leased_to_id
    if owner_id != by.pk and not by.is_admin:
        raise Observation.DoesNotExist
    if entry is None:  # the find has changed since, and is in the queue with another observation
        return by
    if decision:
        entry.leased_to, entry.leased_until = by, None
        entry.save(update_fields=["leased_to", "leased_until"])
        return by
    _lease(entry, by, timezone.now())
    return None


def _lease(entry: QueueEntry, user: User, now: datetime) -> None:
    entry.leased_to, entry.leased_until = user, now + LEASE
    entry.save(update_fields=["leased_to", "leased_until"])


def _entry_of(observation: Observation) -> QueueEntry | None:
    """Return the observation's entry, locked until the transaction ends."""
    return QueueEntry.objects.select_for_update().filter(observation=observation).first()


def _is_decided(observation: Observation) -> bool:
    undecided = Observation.objects.filter(pk=observation.pk, decision=Observation.Decision.NONE)
    return not undecided.exists()
