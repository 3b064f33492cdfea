"""Reads on species and their names."""

from collections import defaultdict

from mlmodels.models import Species, SpeciesName
from mlmodels.names import InvalidName, parse_name
from mlmodels.selectors import production_version


def species_with_key(key: str) -> Species | None:
    """Return the species that has this name (`ParsedName.species`) among its names, or None."""
    own = Species.objects.filter(name__iexact=key).first()
    return own or Species.objects.filter(names__key=key).first()


def species_called(name: str) -> Species | None:
    """Return the species that has this name among its names, however it is written, or None.

    A folder's name counts, too: `Cerioporus_squamosus`.
    """
    try:
        key = parse_name(name).species
    except InvalidName:
        return None
    return species_with_key(key) if key else None


def names_of_species(labels: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the names of each of these species, as (name, kind), the accepted one first.

    A species' own name is among them without a row, too: accepted, if no other is.
    """
    names = defaultdict(list)
    rows = SpeciesName.objects.filter(species__name__in=labels).order_by("kind", "name")
    for species, name, kind in rows.values_list("species__name", "name", "kind"):
        names[species].append((name, kind))
    for label in labels:
        if label not in dict(names[label]):
            has_accepted = any(kind == SpeciesName.Kind.ACCEPTED for _, kind in names[label])
            kind = SpeciesName.Kind.SYNONYM if has_accepted else SpeciesName.Kind.ACCEPTED
            names[label].insert(int(has_accepted), (label, kind.value))
    return {label: names[label] for label in labels}


def known_names() -> list[str]:
    """Return all names, in order, of the species that the version in production knows."""
    version = production_version()
    names = names_of_species(version.labels) if version is not None else {}
    return sorted({name for of_it in names.values() for name, _ in of_it})


def accepted_names() -> dict[str, str]:
    """Return the accepted names of the species whose own name is another, or has a row."""
    accepted = SpeciesName.objects.filter(kind=SpeciesName.Kind.ACCEPTED)
    return dict(accepted.values_list("species__name", "name"))
