"""The names of the ten species: seeded, edited in the admin, and told by GET /species."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from rest_framework.test import APIClient

from mlmodels.models import ModelVersion, Species, SpeciesName
from mlmodels.species_selectors import names_of_species, species_called

pytestmark = pytest.mark.django_db


def test_mushroom_observers_names_are_seeded() -> None:
    rows = SpeciesName.objects.filter(species__name="Polyporus squamosus")
    assert set(rows.values_list("name", "kind", "mushroom_observer_id")) == {
        ("Cerioporus squamosus", "accepted", 22781),
        ("Polyporus squamosus", "synonym", 22777),
        ("Bresadolia squamosa", "synonym", None),
    }
    accepted = SpeciesName.objects.filter(kind="accepted")
    assert accepted.count() == Species.objects.count() == 10


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("Polyporus squamosus", "Polyporus squamosus"),
        ("Cerioporus_squamosus", "Polyporus squamosus"),
        ("CERIOPORUS cf. SQUAMOSUS (Huds.) Quél.", "Polyporus squamosus"),
        ("pleurotus sajor-caju", "Pleurotus pulmonarius"),
        ("Amanita muscaria subsp. flavivolvata Singer", "Amanita muscaria"),
        ("Amanita aff. muscaria", None),
        ("Amanita", None),
        ("Boletus edulis", None),
        ("\0", None),
    ],
)
def test_a_species_is_found_by_any_of_its_names(name, species) -> None:
    found = species_called(name)
    assert (found and found.name) == species


def test_a_species_without_rows_is_found_by_its_own_name() -> None:
    Species.objects.create(name="Boletus edulis")
    assert species_called("boletus edulis").name == "Boletus edulis"
    assert names_of_species(["Boletus edulis"]) == {
        "Boletus edulis": [("Boletus edulis", "accepted")]
    }


def add(admin: Client, **fields: object):
    return admin.post("/admin/mlmodels/speciesname/add/", fields)


def test_an_administrator_adds_a_misspelling_and_it_is_found_at_once(admin: Client) -> None:
    species = Species.objects.get(name="Amanita muscaria")
    answer = add(admin, species=species.pk, name="amanita  muscarea", kind="misspelling")
    assert answer.status_code == 302
    row = SpeciesName.objects.get(kind="misspelling")
    assert (row.name, row.key) == ("Amanita muscarea", "amanita muscarea")
    assert species_called("Amanita muscarea (L.) Lam.") == species
    assert LogEntry.objects.filter(user__username="bob").count() == 1


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("Trametes versicolor", "synonym", "is already a name of Trametes versicolor"),
        ("Coriolus versicolor", "synonym", "is already a name of Trametes versicolor"),
        ("Amanita", "synonym", "does not name one species"),
        ("Amanita aff. muscaria", "synonym", "does not name one species"),
        ("\u0410manita muscaria", "synonym", "U+0410"),
        ("Agaricus muscarius", "accepted", "has an accepted name already"),
    ],
)
def test_a_name_that_would_be_ambiguous_is_refused(admin: Client, name, kind, message) -> None:
    count = SpeciesName.objects.count()
    species = Species.objects.get(name="Amanita muscaria")
    answer = add(admin, species=species.pk, name=name, kind=kind)
    assert answer.status_code == 200
    assert message in answer.content.decode().replace("&#x27;", "'")
    assert SpeciesName.objects.count() == count


def test_species_lists_what_the_model_in_production_knows(
    nobody: APIClient, production: ModelVersion
) -> None:
    answer = nobody.get("/api/v1/species")
    assert answer.status_code == 200
    assert answer.data["model"] == {"name": "VGG16", "version": 1}
    assert [each["name"] for each in answer.data["results"]] == production.labels
    names = {each["name"]: each["names"] for each in answer.data["results"]}
    assert names["Polyporus squamosus"] == [
        {"name": "Cerioporus squamosus", "kind": "accepted"},
        {"name": "Bresadolia squamosa", "kind": "synonym"},
        {"name": "Polyporus squamosus", "kind": "synonym"},
    ]


def test_species_without_a_model_lists_nothing(nobody: APIClient) -> None:
    assert nobody.get("/api/v1/species").data == {"results": [], "model": None}


def test_species_is_sent_again_only_after_a_change(
    nobody: APIClient, production: ModelVersion
) -> None:
    etag = nobody.get("/api/v1/species")["ETag"]
    unchanged = nobody.get("/api/v1/species", headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    SpeciesName.objects.filter(name="Peziza aurantia").delete()
    changed = nobody.get("/api/v1/species", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed["ETag"] != etag
