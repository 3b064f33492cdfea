"""import_photos --other: photos of other species, with the names of their folders or none."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from mlmodels.ml.preprocessing import decode_photo
from predictions.import_services import ImportOutcome, photo_import
from predictions.labels import OtherSpecies, label_of, other_species
from predictions.models import Photo
from predictions.photo_services import photo_keep_for_training, photo_store
from supervision.datasets.selectors import current_evaluation_set
from supervision.models import EvaluationSet
from tests.support.labelled_photos import ten_species
from tests.support.locks import start_blocked
from tests.support.photos import drawn_photo

pytestmark = pytest.mark.django_db


def fill(folder: Path, seeds: dict[str, int]) -> Path:
    """Draw a photo for each path in the folder, in the format of its ending."""
    for name, seed in seeds.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            drawn_photo(seed, format={".jpg": "JPEG"}.get(path.suffix, path.suffix[1:]))
        )
    return folder


def run_import(folder: Path, split: str = "training", *options: str) -> str:
    out = StringIO()
    arguments = (str(folder), "--split", split, "--other", *options)
    call_command("import_photos", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def labels(split: str = "training") -> list[tuple[str, bool, str]]:
    photos = Photo.objects.filter(split=split).order_by("origin")
    return list(photos.values_list("origin", "is_other", "other_name"))


def test_photos_get_the_name_of_their_folder_or_none(tmp_path: Path) -> None:
    seeds = {
        "Boletus_edulis/12.webp": 1,
        "boletus aereus/b.png": 2,
        "Russula/c.jpeg": 3,
        "d.jpg": 4,
    }
    out = run_import(fill(tmp_path, seeds))
    assert out == "4 imported. There are 4 training photos of other species now.\n"
    assert labels() == [
        ("12.webp", True, "Boletus edulis"),
        ("b.png", True, "Boletus aereus"),
        ("c.jpeg", True, "Russula"),
        ("d.jpg", True, ""),
    ]
    photo = Photo.objects.get(origin="12.webp")
    assert (photo.label, photo.label_source, photo.mushroom_observer_id) == (None, "imported", 12)
    assert label_of(photo) == OtherSpecies("Boletus edulis")

    before = list(Photo.objects.order_by("pk").values())
    assert run_import(tmp_path).startswith("4 already there. There are 4 ")
    assert list(Photo.objects.order_by("pk").values()) == before


def test_folders_of_known_species_and_of_impossible_names_are_refused(tmp_path: Path) -> None:
    seeds = {"Amanita_muscaria/a.jpg": 1, "x\x07y/b.jpg": 2, "Boletus_edulis/c.jpg": 3}
    fill(tmp_path, {**seeds, f"{'B' * 101}/d.jpg": 4})
    out = StringIO()
    with pytest.raises(CommandError, match=r"Amanita_muscaria.* without --other") as error:
        call_command(
            "import_photos", str(tmp_path), "--split", "training", "--other", stdout=out, stderr=out
        )
    assert error.value.returncode == 1
    assert "Amanita muscaria is Amanita muscaria, a species that models know" in out.getvalue()
    assert "has the character U+0007, which no scientific name has" in out.getvalue()
    assert "A name has at most 100 characters, not 101." in out.getvalue()
    assert labels() == [("c.jpg", True, "Boletus edulis")]


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("amanita muscaria", "Amanita muscaria"),
        ("AMANITA_MUSCARIA", "Amanita muscaria"),
        (" Amanita  muscaria var. formosa", "Amanita muscaria"),
        ("Cerioporus squamosus", "Polyporus squamosus"),
    ],
)
def test_a_known_species_is_no_other_species_however_it_is_named(name: str, species: str) -> None:
    with pytest.raises(ValueError, match=f"is {species}, a species that models know"):
        other_species(name)


@pytest.mark.parametrize(
    ("name", "stored", "genus"),
    [
        ("boletus_edulis", "Boletus edulis", "Boletus"),
        ("BOLETUS edulis Bull.", "Boletus edulis Bull.", "Boletus"),
        ("cf. Boletus edulis", "Boletus edulis", "Boletus"),
        ("Amanita", "Amanita", "Amanita"),
        (" ", "", ""),
    ],
)
def test_the_genus_of_a_name_comes_first_and_has_a_capital(name: str, stored: str, genus: str):
    label = other_species(name)
    assert (label.name, label.genus) == (stored, genus)


def test_a_genus_is_never_in_both_splits(tmp_path: Path) -> None:
    run_import(fill(tmp_path / "a", {"Boletus_edulis/a.jpg": 1, "Russula/b.jpg": 2, "c.jpg": 3}))
    seeds = {"Boletus_aereus/d.jpg": 4, "Boletus/e.jpg": 5, "Boletinus/f.jpg": 6, "g.jpg": 7}
    out = run_import(fill(tmp_path / "b", seeds), "evaluation")
    assert "is of a genus in the other split, skipped:" in out
    assert "Boletus_aereus/d.jpg: other species: Boletus aereus" in out
    assert "2 imported, 2 is of a genus in the other split. There are 2 evaluation photos" in out
    assert labels("evaluation") == [("f.jpg", True, "Boletinus"), ("g.jpg", True, "")]
    assert run_import(fill(tmp_path / "c", {"Boletinus_pictus/h.jpg": 8})).startswith(
        "is of a genus in the other split, skipped:"
    )
    assert not Photo.objects.filter(origin__in=["d.jpg", "e.jpg", "h.jpg"]).exists()


def test_evaluation_photos_are_frozen_apart_from_those_of_the_species(tmp_path: Path) -> None:
    species = fill(tmp_path / "species", {"Amanita_muscaria/a.jpg": 1})
    call_command("import_photos", str(species), "--split", "evaluation", stdout=StringIO())
    frozen = current_evaluation_set()
    out = run_import(fill(tmp_path / "b", {"Boletus_edulis/b.jpg": 2, "c.jpg": 3}), "evaluation")
    assert "Frozen as evaluation set 1 of other species (2 photos)" in out
    of_others = current_evaluation_set(EvaluationSet.Kind.OTHERS)
    assert sorted(name for _, name in of_others.manifest) == ["", "Boletus edulis"]
    assert current_evaluation_set() == frozen
    assert frozen.sha256 == current_evaluation_set().sha256 != of_others.sha256
    more = fill(tmp_path / "c", {"Russula/d.jpg": 4})
    with pytest.raises(CommandError, match=r"evaluation set 1 of other species .* was frozen"):
        run_import(more, "evaluation")
    assert "Frozen as evaluation set 2 of other species (3 photos)" in run_import(
        more, "evaluation", "--new-version", "one more"
    )
    assert current_evaluation_set() == frozen


def test_photos_that_have_a_species_are_refused_in_either_direction(tmp_path: Path) -> None:
    species = fill(tmp_path / "species", {"Amanita_muscaria/a.jpg": 1})
    call_command("import_photos", str(species), "--split", "training", stdout=StringIO())
    others = fill(tmp_path / "b", {"a.jpg": 1, "same.png": 1, "Boletus/c.jpg": 2})
    out = run_import(others)
    assert "1 imported, 1 has another label, 1 resembles a photo with another label." in out
    assert "same.png: looks like a.jpg (Amanita muscaria, training), 0 of 64 bits differ" in out
    fill(species, {"Amanita_muscaria/c.jpg": 2, "Amanita_muscaria/c.png": 2})
    report = StringIO()
    call_command("import_photos", str(species), "--split", "training", stdout=report, stderr=report)
    assert "c.png: looks like c.jpg (other species: Boletus, training)" in report.getvalue()
    assert "1 already there, 1 has another label, 1 resembles a photo" in report.getvalue()
    assert labels() == [("a.jpg", False, ""), ("c.jpg", True, "Boletus")]
    out = run_import(others, "training", "--allow-resembling")
    assert "imported, though near a photo with another label" in out
    assert labels()[2] == ("same.png", True, "")


def test_an_import_replaces_what_a_model_alone_said(tmp_path: Path) -> None:
    data = drawn_photo(1)
    photo = photo_store(data=data, image=decode_photo(data), origin="a.jpg")
    assert photo_keep_for_training(photo=photo, species_name=ten_species()[0].name)
    assert "1 imported" in run_import(fill(tmp_path, {"Boletus_edulis/x.jpg": 1}))
    photo.refresh_from_db()
    assert (label_of(photo), photo.label_source) == (OtherSpecies("Boletus edulis"), "imported")


def test_a_photo_like_one_of_other_species_does_not_become_a_training_photo(tmp_path: Path) -> None:
    run_import(fill(tmp_path, {"Boletus_edulis/x.jpg": 1}))
    data = drawn_photo(1, format="PNG")
    photo = photo_store(data=data, image=decode_photo(data), origin="a.png")
    assert not photo_keep_for_training(photo=photo, species_name=ten_species()[0].name)
    assert labels() == [("x.jpg", True, "Boletus edulis")]


def test_the_database_holds_that_a_photo_is_never_both() -> None:
    data = drawn_photo(1)
    photo = photo_store(data=data, image=decode_photo(data), origin="a.jpg")
    wrong = (
        {"is_other": True, "label": ten_species()[0]},
        {"is_other": False, "other_name": "Boletus edulis"},
        {"split": "training", "split_at": photo.created_at},
        {"split": "training", "is_other": True},
    )
    for fields in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Photo.objects.filter(pk=photo.pk).update(**fields)
    right = {"split": "training", "is_other": True, "split_at": photo.created_at}
    assert Photo.objects.filter(pk=photo.pk).update(**right) == 1
    connection.check_constraints()


@pytest.mark.django_db(transaction=True)
def test_two_imports_at_once_put_a_genus_into_one_split_only() -> None:
    shared = {"mushroom_observer_id": None, "origin": "a.jpg", "label": OtherSpecies("Boletus")}
    with transaction.atomic():
        first = photo_import(data=drawn_photo(1), split=Photo.Split.TRAINING, **shared)
        waiting = start_blocked(
            lambda: photo_import(data=drawn_photo(2), split=Photo.Split.EVALUATION, **shared)
        )
    assert first.outcome == ImportOutcome.NEW
    assert waiting.result(30).outcome == ImportOutcome.OTHER_SPLIT_HAS_GENUS
    assert Photo.objects.count() == 1
