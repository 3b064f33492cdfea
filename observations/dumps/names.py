"""Takes the names of our species, and their look-alikes, from the staged dumps."""

from collections import defaultdict
from dataclasses import dataclass, field

from django.db import connection

from mlmodels.models import Species, SpeciesName
from mlmodels.species_services import (
    FoundName,
    NamesImported,
    look_alikes_import,
    species_names_import,
)
from observations.models import NameBelowSpecies

MAX_NAME = 100
"""Characters of a name that is stored."""
MAX_DESCRIPTIONS = 20
_MAX_STEPS = 20
_SYNONYMY = """
SELECT id FROM dump_names
WHERE id = ANY(%(ids)s)
   OR synonym_id IN (SELECT synonym_id FROM dump_names WHERE id = ANY(%(ids)s))
   OR spelling_id = ANY(%(ids)s)
   OR id IN (SELECT spelling_id FROM dump_names WHERE id = ANY(%(ids)s))
"""
_NAMES = """
SELECT id, text, is_species, is_deprecated, spelling_id IS NOT NULL
FROM dump_names WHERE id = ANY(%s)
ORDER BY spelling_id IS NOT NULL, is_deprecated, id
"""
_OWN_NAME = """
SELECT id FROM dump_names WHERE lower(text) = ANY(%s)
ORDER BY spelling_id IS NOT NULL, is_deprecated, id LIMIT 1
"""
_OF_IDS = "SELECT id FROM dump_names WHERE id = ANY(%s)"
# A deprecated variety is what its synonyms are; another one belongs to its species.
_BELOW_SPECIES = """
INSERT INTO dump_ours (name_id, species_id)
SELECT id, %s FROM dump_names
WHERE key = ANY(%s) AND NOT is_species AND (synonym_id IS NULL OR NOT is_deprecated)
ON CONFLICT DO NOTHING
"""
_BELOW = NameBelowSpecies._meta.db_table
_KEEP_BELOW_SPECIES = f"""
DELETE FROM {_BELOW};
INSERT INTO {_BELOW} (name_id, species_id)
SELECT ours.name_id, ours.species_id FROM dump_ours ours JOIN dump_names n ON n.id = ours.name_id
WHERE NOT n.is_species AND n.spelling_id IS NULL;
"""  # noqa: S608
_LOOK_ALIKES = """
SELECT DISTINCT look_alikes FROM dump_descriptions JOIN dump_ours USING (name_id)
WHERE species_id = %s ORDER BY look_alikes LIMIT %s
"""


@dataclass
class NamesFound:
    """What an import found and changed."""

    changes: NamesImported = field(default_factory=NamesImported)
    missing: list[str] = field(default_factory=list)
    """Species that the dump does not have under any of their names."""
    look_alikes: int = 0
    """Species whose look-alikes are told otherwise than before."""


def names_import() -> NamesFound:
    """Import the names of all species, and say in `dump_ours` which names of the dump are ours.

    Call it after `dumps_stage`, in the same transaction.
    """
    found, taken = NamesFound(), dict[int, Species]()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE dump_ours (name_id bigint PRIMARY KEY, species_id bigint) "
            "ON COMMIT DROP"
        )
    keys: dict[Species, set[str]] = defaultdict(set)
    claimed: dict[str, Species] = {}
    for species in Species.objects.all():
        ids = _synonymy(_known_ids(species))
        others = {taken[each] for each in ids if each in taken}
        if others:
            found.changes.remarks.append(
                f"{species} has a synonymy with {', '.join(sorted(map(str, others)))} at Mushroom "
                "Observer: its names and images are left out."
            )
        elif not ids:
            found.missing.append(species.name)
        else:
            taken |= dict.fromkeys(ids, species)
            keys[species] = _import(species, ids, claimed, found.changes)
    with connection.cursor() as cursor:
        for number, species in taken.items():
            cursor.execute("INSERT INTO dump_ours VALUES (%s, %s)", [number, species.pk])
        for species, names in keys.items():
            cursor.execute(_BELOW_SPECIES, [species.pk, sorted(names)])
        cursor.execute(_KEEP_BELOW_SPECIES)
        for species in keys:
            cursor.execute(_LOOK_ALIKES, [species.pk, MAX_DESCRIPTIONS])
            text = "\n\n".join(row[0] for row in cursor.fetchall())
            found.look_alikes += look_alikes_import(species=species, text=text)
    return found


def _known_ids(species: Species) -> set[int]:
    """Return the ids from which the synonymy is followed: known ones, and that of its own name.

    If the dump has none of them, that of another name of the species.
    """
    names = list(species.names.values_list("key", "mushroom_observer_id"))
    known = [number for _, number in names if number is not None]
    return (
        _ids(_OF_IDS, [known])
        | _ids(_OWN_NAME, [[species.name.lower()]])
    ) or _ids(_OWN_NAME, [[key for key, _ in names]])  # fmt: skip


def _synonymy(ids: set[int]) -> set[int]:
    """Return these names with all synonyms and misspellings."""
    for _ in range(_MAX_STEPS):
        more = _ids(_SYNONYMY, {"ids": list(ids)})
        if more == ids:
            break
        ids = more
    return ids


def _import(
    species: Species, ids: set[int], claimed: dict[str, Species], changes: NamesImported
) -> set[str]:
    """Import a species' names; return them without misspellings, in lower case.

    `claimed` has those of the species before it: authors may have used a name for two species.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NAMES, [list(ids)])
        rows = cursor.fetchall()
    found: dict[str, FoundName] = {}
    accepted = [
        text
        for _, text, is_species, is_deprecated, is_misspelled in rows
        if is_species and not is_deprecated and not is_misspelled
    ]
    accepted_name = species.name if species.name in accepted else next(iter(accepted), None)
    for number, text, is_species, _, is_misspelled in rows:
        if not is_species or len(text) > MAX_NAME or text.lower() in found:
            continue
        if claimed.setdefault(text.lower(), species) != species:
            changes.remarks.append(
                f"{text} is a name of {claimed[text.lower()]}, so not one of {species}."
            )
            continue
        kind = SpeciesName.Kind.SYNONYM
        if is_misspelled:
            kind = SpeciesName.Kind.MISSPELLING
        elif text == accepted_name:
            kind = SpeciesName.Kind.ACCEPTED
        found[text.lower()] = FoundName(text.lower().capitalize(), kind, number)
    done = species_names_import(species=species, found=list(found.values()))
    changes.added += done.added
    changes.changed += done.changed
    changes.removed += done.removed
    changes.remarks += done.remarks
    return {key for key, each in found.items() if each.kind != SpeciesName.Kind.MISSPELLING}


def _ids(query: str, parameters: list | dict) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return {row[0] for row in cursor.fetchall()}
