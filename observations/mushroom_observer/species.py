"""Which of our species a name of Mushroom Observer is: its synonymy decides, by the names' ids."""

import logging
from collections.abc import Iterable
from typing import NamedTuple

from mlmodels.models import Species, SpeciesName
from mlmodels.names import InvalidName, parse_name
from observations.mushroom_observer.answers import Name
from observations.mushroom_observer.client import names_read
from observations.mushroom_observer.errors import MushroomObserverError

logger = logging.getLogger(__name__)


class NameMeaning(NamedTuple):
    """What a name of the site stands for here."""

    species: str
    """Name of the species, as in `predictions`; empty: none that is known here."""
    is_sure: bool
    """False: the site did not tell the synonyms, so only the list of names here was asked."""


class _Known(NamedTuple):
    """The names of our species."""

    by_id: dict[int, str]
    by_key: dict[str, tuple[str, int | None]]
    """Of accepted names and species' own: the species, and the name's id at the site."""
    synonyms: dict[str, str]


def meanings_of(names: Iterable[Name], *, is_background: bool = False) -> dict[int, NameMeaning]:
    """Return what names of the site stand for, by their ids.

    A name is a species of ours if its id is known, if the site accepts it and it is called as the
    species is (varieties, "group" and the like count), or if that holds for a name of the same
    synonymy. So neither a name that is misapplied to a species in the list of names here nor a
    namesake is taken for it. The site is asked for synonyms where there may be some; if it does not
    answer, the list of names here decides.
    """
    by_id = {name.id: name for name in names}
    known = _known_names()
    unclear = [name.id for name in by_id.values() if _may_be_synonym(name, known)]
    told: dict[int, Name] = {}
    is_told = True
    if unclear:
        try:
            told = names_read(unclear, is_background=is_background)
        except MushroomObserverError as error:
            logger.warning("The synonyms of %s names are not known: %s", len(unclear), error)
            is_told = False
    meanings = {}
    for number, name in by_id.items():
        is_sure = is_told or number not in unclear
        species = _species(told.get(number, name), known) if is_sure else _listed(name, known)
        meanings[number] = NameMeaning(species, is_sure)
    return meanings


def _may_be_synonym(name: Name, known: _Known) -> bool:
    if name.id in known.by_id or not _key(name.text):
        return False
    if name.is_deprecated or name.is_misspelled:
        return True
    return name.synonym_id is not None and not _called(name, known)


def _known_names() -> _Known:
    by_key: dict[str, tuple[str, int | None]] = {
        name.lower(): (name, None) for name in Species.objects.values_list("name", flat=True)
    }
    by_id, synonyms = {}, {}
    rows = SpeciesName.objects.values_list("key", "species__name", "kind", "mushroom_observer_id")
    for key, species, kind, number in rows:
        if number is not None:
            by_id[number] = species
        if kind == SpeciesName.Kind.ACCEPTED or key in by_key:
            by_key[key] = (species, number)
        synonyms[key] = species
    return _Known(by_id, by_key, synonyms)


def _species(name: Name, known: _Known) -> str:
    if name.id in known.by_id:
        return known.by_id[name.id]
    is_accepted = not (name.is_deprecated or name.is_misspelled)
    if is_accepted and (species := _called(name, known)):
        return species
    found = set()
    for each in name.synonyms:
        is_accepted = not (each.is_deprecated or each.is_misspelled)
        if is_accepted or each.text.lower() == _key(each.text):  # no variety of another species
            found.add(known.by_id.get(each.id) or _called(each, known))
    if name.text.lower() == _key(name.text):
        found.add(_called(name, known))
    found.discard("")
    return found.pop() if len(found) == 1 else ""


def _called(name: Name, known: _Known) -> str:
    """Return the species that is called so; "" if none is, or if it is only a namesake."""
    key = _key(name.text)
    species, number = known.by_key.get(key, ("", None))
    is_namesake = number not in (None, name.id) and name.text.lower() == key
    return "" if is_namesake else species


def _listed(name: Name, known: _Known) -> str:
    key = _key(name.text)
    return known.by_key.get(key, ("", None))[0] or known.synonyms.get(key, "")


def _key(text: str) -> str:
    """Return genus and epithet in lower case; empty if it names no single species."""
    try:
        return parse_name(text).species or ""
    except InvalidName:
        return ""
