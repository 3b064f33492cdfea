"""Makes queue entries of the finds that Mushroom Observer tells of."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from common.messages import Message
from observations.models import QueueEntry, QueuePoll
from observations.mushroom_observer.answers import Naming
from observations.mushroom_observer.client import (
    has_namings,
    namings_page,
    observation_ids_page,
)
from observations.mushroom_observer.errors import NonsenseError

FIRST = timedelta(days=30)
"""How far back the first poll looks."""
OVERLAP = timedelta(minutes=5)
"""How far a poll looks back beyond the last one: clocks differ."""
TELLS_TO = timedelta(seconds=1)
"""How exact the site's times are."""
SHORTEST = timedelta(minutes=1)
"""A time that is not halved to get its names on one page."""
MAX_PAGES = 10
"""Pages that are read of so short a time."""
MAX_CALLS = 20
"""Calls of one poll for what has changed: enough to halve FIRST down to SHORTEST."""
UNSETTLED = (2, 1, 0, -1)
"""Confidences to ask for where the site's API knows no namings."""
MAX_CONSENSUS = 500
"""Finds of one confidence that one poll takes where the API knows no namings: the newest."""
MAX_REREAD = 50
REREAD_AFTER = timedelta(days=1)


def is_settled(confidence: float | None) -> bool:
    """Return whether a name with this confidence (-3 to 3) is settled."""
    return confidence is not None and confidence >= settings.CHAMPIPY_SETTLED_CONFIDENCE


def finds_collect(poll: QueuePoll, name_ids: Sequence[int]) -> int:
    """Note which finds with one of these names are new or changed; return how many.

    Raises a MushroomObserverError; what was noted until then stays.
    """
    if has_namings():
        return _collect_by_namings(poll, name_ids)
    return _collect_by_consensus(poll, name_ids)


def _collect_by_namings(poll: QueuePoll, name_ids: Sequence[int]) -> int:
    """Collect from where the last poll ended until now, one page of names at a time.

    A time with more names than a page has is halved: so nothing is missed where names change, and
    leave the page, between two calls.
    """
    end = timezone.now()
    since, until, count = (poll.collected_until or end - FIRST) - OVERLAP, end, 0
    for _ in range(MAX_CALLS):
        if since >= end:
            break
        page = namings_page(name_ids, since=since, until=until)
        if page.number_of_pages > 1 and until - since > SHORTEST:
            until = since + (until - since) / 2
            continue
        namings = list(page.namings)
        for number in range(2, min(page.number_of_pages, MAX_PAGES) + 1):
            namings += namings_page(name_ids, since=since, until=until, page=number).namings
        count += _note_namings(poll, namings, until)
        since, until = until, min(end, until + 2 * (until - since))
    return count


def _note_namings(poll: QueuePoll, namings: Sequence[Naming], until: datetime) -> int:
    """Note the finds of these names and how far the poll got, in one transaction."""
    if namings and all(naming.observation_id is None for naming in namings):
        raise NonsenseError(
            Message("Mushroom Observer does not say of which observations its names are.")
        )
    changes: dict[int, datetime] = {}
    unsettled = set()
    for naming in namings:
        if naming.observation_id is None:
            continue
        at = naming.updated_at or until
        changes[naming.observation_id] = max(at, changes.get(naming.observation_id, at))
        if not is_settled(naming.confidence):
            unsettled.add(naming.observation_id)
    with transaction.atomic():
        count = _note_changes(changes) + _add(changes, unsettled)
        poll.collected_until = until
        poll.save(update_fields=["collected_until"])
    return count


def _note_changes(changes: Mapping[int, datetime]) -> int:
    """Have the known finds read again that have changed since it was last told."""
    known = QueueEntry.objects.filter(mushroom_observer_id__in=changes)
    changed = [
        QueueEntry(pk=entry.pk, is_to_read=True, changed_at=changes[entry.mushroom_observer_id])
        for entry in known.select_for_update().order_by("pk")
        if _is_news(entry, changes[entry.mushroom_observer_id])
    ]
    QueueEntry.objects.bulk_update(changed, ["is_to_read", "changed_at"])
    return len(changed)


def _is_news(entry: QueueEntry, at: datetime) -> bool:
    """Return whether a change at this time is a new one.

    The site tells times to the second: a find that was read within that second may have changed
    again after that.
    """
    is_later = entry.changed_at is None or entry.changed_at < at
    return is_later or (entry.read_at is not None and entry.read_at < at + TELLS_TO)


def _add(changes: Mapping[int, datetime | None], numbers: Iterable[int]) -> int:
    """Add entries for the finds among `numbers` that have none; return how many."""
    known = set(
        QueueEntry.objects.filter(mushroom_observer_id__in=changes).values_list(
            "mushroom_observer_id", flat=True
        )
    )
    new = [
        QueueEntry(mushroom_observer_id=number, changed_at=changes[number])
        for number in sorted(set(numbers) - known)
    ]
    QueueEntry.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def _collect_by_consensus(poll: QueuePoll, name_ids: Sequence[int]) -> int:
    """Collect the newest finds that have one of the names, unsettled.

    The site does not tell what has changed then. So some of the known ones are read again, once a
    day each.
    """
    count = 0
    for confidence in UNSETTLED:
        ids = observation_ids_page(name_ids, confidence=confidence).ids[-MAX_CONSENSUS:]
        count += _add(dict.fromkeys(ids), ids)
    now = timezone.now()
    is_old = Q(read_at__lt=now - REREAD_AFTER)
    oldest = QueueEntry.objects.filter(is_old, is_to_read=False).order_by("read_at")[:MAX_REREAD]
    pks = list(oldest.values_list("pk", flat=True))
    QueueEntry.objects.filter(pk__in=pks).update(is_to_read=True)
    poll.collected_until = now
    poll.save(update_fields=["collected_until"])
    return count
