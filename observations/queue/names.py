"""Which names at Mushroom Observer mean a species that the model knows.

Synonyms and misspellings are found by the site's synonymy. Its API tells a variety's species, but
not a species' varieties. So those are asked for that the dumps have, or that a find had which was
read; and the groups, by their text ("Trametes versicolor group").
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from mlmodels.models import SpeciesName
from observations.models import NameBelowSpecies, ProposedName, QueuePoll
from observations.mushroom_observer.answers import Name
from observations.mushroom_observer.client import MAX_IDS, names_called, names_read
from observations.mushroom_observer.errors import RefusedError
from observations.mushroom_observer.species import meanings_of

FRESH = timedelta(days=7)
MAX_NAMES = 400
"""Ids that are asked for in one call: they must fit into its URL."""


def name_ids(poll: QueuePoll, labels: Sequence[str]) -> list[int]:
    """Return the ids at the site of the names of these species, at most MAX_NAMES.

    Those of species, synonyms and groups are remembered in `poll` for a week, or until a name here
    changes. Raises a MushroomObserverError.
    """
    ids = _of_species(poll, labels)
    below = NameBelowSpecies.objects.filter(species__name__in=labels)
    read = ProposedName.objects.filter(species__in=labels, name_id__isnull=False)
    more = {*below.values_list("name_id", flat=True)}
    seen = read.order_by().values_list("name_id", flat=True).distinct()
    more |= {number for number in seen if number is not None}
    return [*ids, *sorted(more - {*ids})][:MAX_NAMES]


def _of_species(poll: QueuePoll, labels: Sequence[str]) -> list[int]:
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
        groups = {f"{label} group" for label in _accepted(labels)}
        names += _called(sorted((known.keys() | groups) - told))
        meanings = meanings_of(
            (each for name in names for each in (name, *name.synonyms)), is_background=True
        )
        found = {number for number, meaning in meanings.items() if meaning.species in labels}
        poll.name_ids = sorted(found | set(ids))
        if all(meaning.is_sure for meaning in meanings.values()):
            poll.names_sha256, poll.names_found_at = sha256, now
        poll.save(update_fields=["name_ids", "names_sha256", "names_found_at"])
    return list(poll.name_ids)


def _accepted(labels: Sequence[str]) -> list[str]:
    """Return the accepted names of these species, and their names here."""
    rows = SpeciesName.objects.filter(species__name__in=labels, kind=SpeciesName.Kind.ACCEPTED)
    return [*labels, *rows.values_list("name", flat=True)]


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
        named = [text for text in texts if text.lower() in error.reason.lower()]
        if named:  # the longest one: "Trametes versicolor" is also named by that of its group
            return _called_portion([text for text in texts if text != max(named, key=len)])
        return [name for text in texts for name in _called_portion([text])]
