"""Names and look-alikes come from the dumps; what a person entered stays."""

import pytest
from django.test import Client

from mlmodels.models import Species, SpeciesName
from mlmodels.species_selectors import species_called
from observations.models import NameBelowSpecies
from tests.support.dumps import write_dump, write_dumps
from tests.support.mushroom_observer.world import Name

pytestmark = pytest.mark.django_db


def rows(species: str) -> set[tuple[str, str, int | None]]:
    names = SpeciesName.objects.filter(species__name=species)
    return set(names.values_list("name", "kind", "mushroom_observer_id"))


def number(world, text: str) -> int:
    return world.name_called(text).id


def test_synonyms_and_misspellings_come_with_their_ids(folder, world, run) -> None:
    run(folder)
    assert rows("Polyporus squamosus") == {
        ("Cerioporus squamosus", "accepted", 22781),
        ("Polyporus squamosus", "synonym", 22777),
        ("Bresadolia squamosa", "synonym", number(world, "Bresadolia squamosa")),
    }
    assert rows("Amanita muscaria") == {
        ("Amanita muscaria", "accepted", number(world, "Amanita muscaria")),
        ("Amanita muscarria", "misspelling", number(world, "Amanita muscarria")),
    }
    assert species_called("Coprinus commatus").name == "Coprinus comatus"


def test_the_queue_learns_varieties_and_groups(folder, world, run) -> None:
    run(folder)
    below = dict(NameBelowSpecies.objects.values_list("name_id", "species__name"))
    variety = number(world, "Amanita muscaria var. guessowii")
    group = number(world, "Lycogala epidendrum group")
    assert (below[variety], below[group]) == ("Amanita muscaria", "Lycogala epidendrum")
    assert number(world, "Amanita muscaria") not in below
    world.names.pop(variety)
    for find in world.observations.values():
        find.namings = [each for each in find.namings if each.name.id != variety]
    write_dumps(folder, world)
    run(folder)
    assert variety not in NameBelowSpecies.objects.values_list("name_id", flat=True)


def test_a_second_import_changes_nothing(folder, run) -> None:
    run(folder)
    before = list(SpeciesName.objects.order_by("pk").values())
    out = run(folder).out
    assert "Names: 0 added, 0 changed, 0 removed; look-alikes of 0 species changed." in out
    assert "Images: 0 rows written, 0 deleted; author and licence of 0 photos changed; " in out
    assert list(SpeciesName.objects.order_by("pk").values()) == before


def test_a_seeded_synonym_that_the_site_does_not_know_as_such_goes(folder, world, run) -> None:
    assert species_called("Pleurotus sajor-caju").name == "Pleurotus pulmonarius"
    run(folder)
    assert species_called("Pleurotus sajor-caju") is None


def test_what_a_person_entered_stays_and_gets_only_its_id(folder, world, users, run) -> None:
    admin = Client()
    admin.force_login(users["bob"])
    row = SpeciesName.objects.get(name="Coriolus versicolor")
    changed = {"species": row.species_id, "name": row.name, "kind": "misspelling"}
    admin.post(f"/admin/mlmodels/speciesname/{row.pk}/change/", changed)
    added = {"species": row.species_id, "name": "Boletus versicolor", "kind": "synonym"}
    admin.post("/admin/mlmodels/speciesname/add/", added)
    output = run(folder)
    row.refresh_from_db()
    assert (row.kind, row.mushroom_observer_id) == (
        "misspelling",
        number(world, "Coriolus versicolor"),
    )
    assert species_called("Boletus versicolor") == row.species
    assert "Names: " in output.out
    assert "Coriolus versicolor stays a name of" in run(folder).err


def test_an_accepted_name_that_a_person_chose_stays_the_only_one(folder, world, run) -> None:
    species = Species.objects.get(name="Trametes versicolor")
    species.names.filter(name="Trametes versicolor").delete()
    species.names.filter(name="Coriolus versicolor").update(kind="accepted", is_imported=False)
    run(folder)
    assert dict(species.names.values_list("name", "kind")) == {
        "Coriolus versicolor": "accepted",
        "Trametes versicolor": "synonym",
        "Polyporus versicolor": "synonym",
    }


def test_a_name_of_two_species_is_left_to_the_first(folder, world, run) -> None:
    synonymy = world.name_called("Trametes versicolor").synonym_id
    world.add_names([Name(5000, "Lycoperdon gemmatum", "Schaeff.", synonym_id=synonymy)])
    write_dumps(folder, world)
    output = run(folder)
    assert "Lycoperdon gemmatum is a name of Lycoperdon perlatum, so not one of" in output.err
    assert species_called("Lycoperdon gemmatum").name == "Lycoperdon perlatum"
    assert "0 added, 0 changed, 0 removed" in run(folder).out


def test_a_name_moves_with_its_synonymy(folder, world, run) -> None:
    run(folder)
    moved = world.name_called("Scleroderma vulgare")
    moved.synonym_id = world.name_called("Lycoperdon perlatum").synonym_id
    write_dumps(folder, world)
    run(folder)
    assert species_called("Scleroderma vulgare").name == "Lycoperdon perlatum"
    assert "0 added, 0 changed, 0 removed" in run(folder).out


def test_species_that_the_dump_does_not_have_keep_their_names(folder, world, run) -> None:
    for text in ("Aleuria aurantia", "Peziza aurantia"):
        del world.names[number(world, text)]
    write_dumps(folder, world)
    before = rows("Aleuria aurantia")
    assert "Not in the dumps under any of their names:\n  Aleuria aurantia" in run(folder).err
    assert rows("Aleuria aurantia") == before


def test_look_alikes_are_told_in_the_admin(folder, world, users, run) -> None:
    deadly = "Not _Galerina_!\nTabs\tand \\ too."
    texts = {number(world, "Polyporus squamosus"): deadly, number(world, "Boletus edulis"): "x"}
    write_dumps(folder, world, look_alikes=texts)
    run(folder)
    species = Species.objects.get(name="Polyporus squamosus")
    assert species.look_alikes == deadly
    assert Species.objects.exclude(look_alikes="").count() == 1
    admin = Client()
    admin.force_login(users["bob"])
    page = admin.get(f"/admin/mlmodels/species/{species.pk}/change/")
    assert "Not _Galerina_!" in page.content.decode()


def test_hostile_names_are_stored_nowhere(folder, world, run) -> None:
    synonymy = world.name_called("Trametes versicolor").synonym_id
    hostile = ["=cmd()", "\0", "Trametes " + "x" * 300, "Trametes \0versicolor", "'; DROP TABLE x"]
    world.add_names(
        Name(6000 + index, text, deprecated=True, synonym_id=synonymy)
        for index, text in enumerate(hostile)
    )
    write_dumps(folder, world)
    run(folder)
    assert {name for name, _, _ in rows("Trametes versicolor")} == {
        "Trametes versicolor",
        "Coriolus versicolor",
        "Polyporus versicolor",
    }


def test_a_synonymy_of_two_species_is_left_out_and_told(folder, world, run) -> None:
    world.name_called("Mycena haematopus").synonym_id = world.name_called(
        "Lycoperdon perlatum"
    ).synonym_id
    write_dumps(folder, world)
    assert "Mycena haematopus has a synonymy with Lycoperdon perlatum" in run(folder).err
    assert species_called("Mycena haematopus").name == "Mycena haematopus"


def test_columns_may_come_in_any_order_and_more_than_needed(folder, run) -> None:
    write_dump(folder, "name_descriptions.csv", [])
    lines = (folder / "names.csv").read_text().splitlines()
    turned = ["\t".join(reversed([*line.split("\t"), "more"])) for line in lines]
    (folder / "names.csv").write_text("\n".join(turned) + "\n")
    run(folder)
    assert species_called("Amanita muscarria").name == "Amanita muscaria"
