"""Reads the finds of the queue at Mushroom Observer, and has their photos predicted."""

import logging
from collections.abc import Collection, Mapping

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from observations.models import Observation, QueueEntry
from observations.mushroom_observer import answers
from observations.mushroom_observer.client import observations_read
from observations.mushroom_observer.references import observation_url
from observations.mushroom_observer.species import NameMeaning, meanings_of
from observations.mushroom_observer_services import observation_take_in
from observations.queue.selectors import entries_to_read, pending_photos, waiting_entries
from observations.services import observation_delete
from observations.settled import settled_name

logger = logging.getLogger(__name__)

PORTION = 50
"""Finds that are read in one call."""
MAX_READS = 4
"""Such calls of one poll."""
MAX_PENDING_PHOTOS = 200
"""With so many photos that wait for their answers, no more finds are read: some three minutes of
what the site allows."""
MAX_WAITING = 500
"""With so many finds that nobody has looked at, no more are read."""
MAX_FAILURES = 3
"""A find is given up after its photos could not be had so often."""


def failed_retry() -> None:
    """Have the finds read again of which all photos failed, MAX_FAILURES times at most."""
    QueueEntry.objects.filter(
        is_to_read=False,
        observation__status=Observation.Status.FAILED,
        failures__lt=MAX_FAILURES,
    ).update(is_to_read=True, failures=F("failures") + 1)


def finds_read(*, labels: Collection[str]) -> int:
    """Read the finds that are to be read, as many as the bounds above allow; return how many.

    `labels` are the species that the model knows. Raises a MushroomObserverError.
    """
    count = 0
    for _ in range(MAX_READS):
        now = timezone.now()
        if pending_photos() >= MAX_PENDING_PHOTOS or waiting_entries(now).count() >= MAX_WAITING:
            break
        numbers = list(
            entries_to_read(now).values_list("mushroom_observer_id", flat=True)[:PORTION]
        )
        if not numbers:
            break
        found = observations_read(numbers, is_fresh=True, is_background=True)
        names = (name for there in found.values() for name in there.names)
        meanings = meanings_of(names, is_background=True)
        for number in numbers:
            try:
                _take_in(number, found.get(number), meanings, labels)
            except Exception:  # the others must not wait for this one
                logger.exception("Observation %s of the queue could not be taken in", number)
        count += len(numbers)
    return count


def _take_in(
    number: int,
    there: answers.Observation | None,
    meanings: Mapping[int, NameMeaning],
    labels: Collection[str],
) -> None:
    """Bring one find in line with what the site tells of it; `there` is None if it is gone.

    Where nothing has changed, what was decided or skipped stays so. Where something has, an
    undecided find is told anew; a decided one stays in its verifier's list as it was, and another
    observation takes its place in the queue.
    """
    now = timezone.now()
    with transaction.atomic():
        entry = (
            entries_to_read(now)
            .select_for_update(of=("self",))
            .filter(mushroom_observer_id=number)
            .first()
        )
        if entry is None:  # somebody else has read it, or a verifier has just got it
            return
        observation = entry.observation
        fingerprint = there.fingerprint if there is not None else ""
        # What a verifier wrote there through ChampiPy was read since, and is no news.
        known = {entry.fingerprint, observation.fingerprint if observation is not None else ""}
        has_changed = entry.read_at is None or fingerprint not in known
        has_failed = observation is not None and observation.status == Observation.Status.FAILED
        is_decided = observation is not None and bool(observation.decision)
        entry.is_to_read, entry.read_at, entry.fingerprint = False, now, fingerprint
        if there is None or not _is_worth_a_look(there, meanings, labels):
            if observation is not None and not is_decided:
                observation_delete(observation=observation)
                entry.observation = None
            entry.save()
            return
        if has_changed:
            entry.skipped_by.clear()
            entry.failures = 0
        if has_changed or has_failed:
            if observation is None or is_decided:
                observation = _new(there)
            Observation.objects.filter(pk=observation.pk).update(
                status=Observation.Status.PENDING, error_code="", error_detail=""
            )
            entry.observation, entry.leased_to, entry.leased_until = observation, None, None
            observation_take_in(observation=observation, there=there, meanings=meanings)
        entry.save()


def _is_worth_a_look(
    there: answers.Observation, meanings: Mapping[int, NameMeaning], labels: Collection[str]
) -> bool:
    """Return whether it has photos, a name that the model knows, and is not settled.

    Settled is what labels photos, too: a contrary vote keeps it open however sure the others are.
    """
    proposed = {meanings[naming.name.id].species for naming in there.namings}
    is_open = settled_name(there, meanings) is None
    return bool(there.images) and is_open and not proposed.isdisjoint(labels)


def _new(there: answers.Observation) -> Observation:
    return Observation.objects.create(
        source=Observation.Source.QUEUE,
        mushroom_observer_id=there.id,
        url=observation_url(there.id),
    )
