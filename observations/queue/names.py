"""Which names at Mushroom Observer mean a species that the model knows."""

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from mlmodels.models import SpeciesName
from observations.models import QueuePoll
from observations.mushroom_observer.answers import Name
from observations.mushroom_observer.client import MAX_IDS, names_called, names_read
from observations.mushroom_observer.errors import RefusedError
from observations.mushroom_observer.species import meanings_of

FRESH = timedelta(days=7)


def name_ids(poll: QueuePoll, labels: Sequence[str]) -> list[int]:
    """Return the ids at the site of the names and synonyms of these species.

    They are remembered in `poll` for a week, or until a name here changes. Raises a
    MushroomObserverError.
    """
    rows = SpeciesName.objects.filter(species__name__in=labels)
    known = dict(rows.values_list("name", "mushroom_observer_id"))
    known |= {label: None for label in labels if label not in known}
    sha256 = hashlib.sha256(json.dumps(sorted(known.items())).encode()).hexdigest()
    now = timezone.now()
    is_fresh = poll.names_found_at is not None and poll.names_found_at > now - FRESH
    if not is_fresh or poll.names_sha256 != sha256:
        ids = [number for number in known.values() if number is not None]
        names = list(names_read(ids, is_background=True).values())
        told = {each.text for name in names for each in (name, *name.synonyms)}
        names += _called(sorted(known.keys() - told))
        meanings = meanings_of(
            (each for name in names for each in (name, *name.synonyms)), is_background=True
        )
        found = {number for number, meaning in meanings.items() if meaning.species in labels}
        poll.name_ids = sorted(found | set(ids))
        if all(meaning.is_sure for meaning in meanings.values()):
            poll.names_sha256, poll.names_found_at = sha256, now
        poll.save(update_fields=["name_ids", "names_sha256", "names_found_at"])
    return list(poll.name_ids)


def _called(texts: Sequence[str]) -> list[Name]:
    """Return the names that are written so. Those that the site does not know are left out."""
    found: list[Name] = []
    for start in range(0, len(texts), MAX_IDS):
        found += _called_portion(texts[start : start + MAX_IDS])
    return found


def _called_portion(texts: Sequence[str]) -> list[Name]:
    try:
        return names_called(texts, is_background=True) if texts else []
    except RefusedError as error:  # the site refuses the whole call, and names one of them
        if len(texts) == 1:
            return []
        reason = error.reason.lower()
        others = [text for text in texts if text.lower() not in reason]
        if others and len(others) < len(texts):
            return _called_portion(others)
        return [name for text in texts for name in _called_portion([text])]
