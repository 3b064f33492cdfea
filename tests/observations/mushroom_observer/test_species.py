"""Which species a name of Mushroom Observer is, by the synonymy there."""

import pytest

from observations.mushroom_observer.answers import Name as ReadName
from observations.mushroom_observer.answers import read_name
from observations.mushroom_observer.species import meanings_of
from tests.support.mushroom_observer import MushroomObserver
from tests.support.mushroom_observer.answers import name_json
from tests.support.mushroom_observer.world import Name

pytestmark = pytest.mark.django_db


def told(site: MushroomObserver, text: str) -> ReadName:
    """Return a name as the site tells it within an observation."""
    name = site.world.name_called(text)
    assert name is not None
    read = read_name(name_json(site.world, name, is_high=False))
    assert read is not None
    return read


def species_of(site: MushroomObserver, text: str) -> str:
    name = told(site, text)
    return meanings_of([name])[name.id].species


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("Cerioporus squamosus", "Polyporus squamosus"),  # by its id
        ("Bresadolia squamosa", "Polyporus squamosus"),
        ("Coriolus versicolor", "Trametes versicolor"),
        ("Amanita muscarria", "Amanita muscaria"),  # misspelled
        ("Amanita muscaria var. guessowii", "Amanita muscaria"),
        ("Lycogala epidendrum group", "Lycogala epidendrum"),
        ("Pleurotus sajor-caju", ""),  # a synonym only by misapplication
        ("Boletus edulis", ""),
        ("Amanita", ""),
    ],
)
def test_the_sites_synonymy_decides(
    mushroom_observer: MushroomObserver, name: str, species: str
) -> None:
    assert species_of(mushroom_observer, name) == species


def test_synonyms_are_asked_for_in_one_call_and_only_where_there_may_be_some(
    mushroom_observer: MushroomObserver,
) -> None:
    site = mushroom_observer
    clear = ["Aleuria aurantia", "Boletus edulis", "Polyporus squamosus", "Amanita"]
    meanings_of([told(site, text) for text in clear])
    assert not site.requests
    meanings_of([told(site, text) for text in ("Peziza aurantia", "Coriolus versicolor")])
    assert [request.path for request in site.requests] == ["/api2/names"]


def test_a_name_that_the_site_unites_with_a_species_is_it_and_a_namesake_is_not(
    mushroom_observer: MushroomObserver,
) -> None:
    world = mushroom_observer.world
    shaggy = world.name_called("Coprinus comatus")
    assert shaggy is not None
    shaggy.deprecated = True  # the site prefers a name that is not known here
    synonymy = shaggy.synonym_id
    assert synonymy is not None
    world.add_names([Name(8001, "Annularia comata", synonym_id=synonymy)])
    assert species_of(mushroom_observer, "Annularia comata") == "Coprinus comatus"
    assert species_of(mushroom_observer, "Coprinus comatus") == "Coprinus comatus"
    other = Name(8002, "Cerioporus squamosus", author="of somebody else")
    read = read_name(name_json(world, other, is_high=False))
    assert read is not None
    assert meanings_of([read])[8002].species == ""
