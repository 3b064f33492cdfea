"""Writes on species: the names and look-alikes that dumps of Mushroom Observer bring."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction

from mlmodels.models import Species, SpeciesName

Kind = SpeciesName.Kind


@dataclass(frozen=True)
class FoundName:
    """A name of a species, as a dump has it."""

    name: str
    """Genus and epithet, without author."""
    kind: str
    mushroom_observer_id: int


@dataclass
class NamesImported:
    """What an import changed."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    remarks: list[str] = field(default_factory=list)
    """Sentences on names that were left out, or left as they are."""


def species_names_import(*, species: Species, found: Sequence[FoundName]) -> NamesImported:
    """Give a species the names that a dump has for it; return what changed.

    `found` has each name once, and at most one accepted one. What a person has entered stays as it
    is; only an id that it lacks is added. Imported names that were not found are deleted, and those
    of another species come to this one. What was entered for another species is left out.
    """
    done = NamesImported()
    with transaction.atomic():
        rows = {
            row.key: row
            for row in SpeciesName.objects.select_related("species").select_for_update()
        }
        own = {each.name.lower(): each for each in Species.objects.exclude(pk=species.pk)}
        wanted: dict[str, FoundName] = {}
        for each in found:
            key = each.name.lower()
            row = rows.get(key)
            other = own.get(key) or (row.species if row and not row.is_imported else species)
            if other == species:
                wanted[key] = each
            else:
                done.remarks.append(f"{each.name} is a name of {other}, so not one of {species}.")
        of_it = {
            key: row for key, row in rows.items() if row.species_id == species.pk or key in wanted
        }
        old = [row for key, row in of_it.items() if row.is_imported and key not in wanted]
        done.removed = len(old)
        SpeciesName.objects.filter(pk__in=[row.pk for row in old]).delete()
        kept = [row for row in rows.values() if row not in old]
        ids = {
            row.mushroom_observer_id for row in kept if row.key not in of_it or not row.is_imported
        }
        _write(species, wanted, of_it, ids, done)
    return done


def _write(
    species: Species,
    wanted: dict[str, FoundName],
    rows: dict[str, SpeciesName],
    ids: set[int | None],
    done: NamesImported,
) -> None:
    """Add and change names. `ids` are those of names that stay as they are."""
    entered = [row.kind for row in rows.values() if not row.is_imported]
    changed = []
    for key, each in wanted.items():
        row = rows.get(key)
        number = each.mushroom_observer_id if each.mushroom_observer_id not in ids else None
        kind = (
            Kind.SYNONYM if each.kind == Kind.ACCEPTED and Kind.ACCEPTED in entered else each.kind
        )
        if row is None:
            row = SpeciesName(species=species, name=each.name, key=key, is_imported=True)
            done.added += 1
        elif row.is_imported:
            if (row.species, row.kind, row.mushroom_observer_id) == (species, kind, number):
                continue
            row.species = species
            done.changed += 1
        elif row.mushroom_observer_id is not None or number is None:
            if row.kind != each.kind:
                done.remarks.append(
                    f"{row.name} stays a name of {species} as entered: {row.kind}. "
                    f"In the dump: {each.kind}."
                )
            continue
        else:
            kind = row.kind
            done.changed += 1
        row.kind, row.mushroom_observer_id = kind, number
        changed.append(row)
    # Names may exchange ids, or which one is accepted.
    before = [row.pk for row in changed if row.pk is not None and row.is_imported]
    SpeciesName.objects.filter(pk__in=before).update(kind=Kind.SYNONYM, mushroom_observer_id=None)
    for row in changed:
        row.save()


def look_alikes_import(*, species: Species, text: str) -> bool:
    """Store what descriptions say of a species' look-alikes; return whether that changed it."""
    changed = Species.objects.filter(pk=species.pk).exclude(look_alikes=text)
    return bool(changed.update(look_alikes=text))
