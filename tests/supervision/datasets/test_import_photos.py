"""import_photos: imports labelled photos from folders, and refuses some."""

import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from mlmodels.ml.preprocessing import decode_photo
from predictions.import_services import ImportOutcome, photo_import
from predictions.models import Photo
from predictions.photo_services import photo_store
from supervision.datasets.selectors import current_evaluation_set
from supervision.review.services import photo_exclude, photo_label
from tests.support.labelled_photos import ten_species
from tests.support.locks import start_blocked
from tests.support.photos import drawn_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("production")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return two species with two photos each, a copy, a broken file and an unknown species."""
    for number, name in enumerate(["Amanita_muscaria", "Coprinus_comatus"]):
        (tmp_path / name).mkdir()
        for index in range(2):
            file = tmp_path / name / f"{1000 + 100 * number + 10 * index}.jpg"
            file.write_bytes(drawn_photo(100 + 10 * number + index))
    (tmp_path / "Amanita_muscaria" / "copy.jpg").write_bytes(drawn_photo(100))
    (tmp_path / "Coprinus_comatus" / "broken.jpg").write_bytes(drawn_photo(101)[:500])
    (tmp_path / "Boletus_edulis").mkdir()
    (tmp_path / "Boletus_edulis" / "1.jpg").write_bytes(drawn_photo(130))
    return tmp_path


def run_import(folder: Path, split: str = "training", *options: str) -> tuple[str, str]:
    """Import, and return the output and the errors; the folder of an unknown species is refused."""
    out, err = StringIO(), StringIO()
    arguments = (str(folder), "--split", split, *options)
    if (folder / "Boletus_edulis").is_dir():
        with pytest.raises(
            CommandError, match=r"Boletus_edulis\. No species has this name"
        ) as error:
            call_command("import_photos", *arguments, stdout=out, stderr=err)
        assert error.value.returncode == 1
    else:
        call_command("import_photos", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_folder_may_have_any_name_of_a_species(folder: Path) -> None:
    for number, name in enumerate(["Cerioporus_squamosus", "polyporus squamosus"]):
        (folder / name).mkdir()
        (folder / name / f"{number}.jpg").write_bytes(drawn_photo(150 + number))
    run_import(folder)
    assert Photo.objects.filter(label__name="Polyporus squamosus").count() == 2


def test_photos_are_imported_and_broken_and_unknown_ones_reported(folder: Path) -> None:
    out, err = run_import(folder)
    assert out.startswith("4 imported, 1 already there, 1 broken. There are 4 training photos now.")
    assert "broken.jpg" in err
    assert "Boletus_edulis is not a known species" in err
    photo = Photo.objects.get(mushroom_observer_id=1110)
    assert (photo.label.name, photo.label_source) == ("Coprinus comatus", "imported")
    assert (photo.width, photo.height, photo.origin) == (320, 240, "1110.jpg")


def test_evaluation_photos_are_frozen_only_when_all_folders_were_imported(folder: Path) -> None:
    out, _ = run_import(folder, "evaluation")
    assert "There are 4 evaluation photos now." in out
    assert current_evaluation_set() is None
    shutil.rmtree(folder / "Boletus_edulis")
    out, _ = run_import(folder, "evaluation")
    assert "Frozen as evaluation set 1" in out
    assert current_evaluation_set().version == 1


def test_importing_again_changes_nothing(folder: Path) -> None:
    run_import(folder)
    before = list(Photo.objects.order_by("pk").values())
    out, _ = run_import(folder)
    assert out.startswith("5 already there, 1 broken")
    assert list(Photo.objects.order_by("pk").values()) == before


def test_a_photo_is_never_in_both_splits(folder: Path) -> None:
    run_import(folder)
    _, err = run_import(folder, "evaluation", "--allow-resembling")
    assert "is in the other split" in err
    assert not Photo.objects.filter(split="evaluation").exists()


def test_a_photo_that_resembles_the_other_split_is_refused_unless_allowed(
    folder: Path, tmp_path: Path
) -> None:
    run_import(folder)
    evaluation = tmp_path / "evaluation" / "Amanita_muscaria"
    evaluation.mkdir(parents=True)
    (evaluation / "5000.png").write_bytes(drawn_photo(100, format="PNG"))  # looks the same
    (evaluation / "1012.jpg").write_bytes(drawn_photo(140))  # the same observation as 1010
    (evaluation / "1020.jpg").write_bytes(drawn_photo(141))
    out, err = run_import(evaluation.parent, "evaluation")
    assert out.startswith("2 resembles a photo of the other split, 1 imported.")
    assert "5000.png: looks like 1000.jpg (Amanita muscaria, training), 0 of 64 bits differ" in err
    assert "1012.jpg: shows the same find as 1010.jpg (Amanita muscaria, training)" in err
    options = ("--allow-resembling", "--new-version", "they count all the same")
    out, err = run_import(evaluation.parent, "evaluation", *options)
    assert "imported, though near the other split" in err
    assert "1012.jpg: shows the same find as 1010.jpg" in err
    assert out.startswith("2 imported, 1 already there. There are 3 evaluation photos now.")


@pytest.mark.parametrize("content", [None, "empty"])
def test_a_folder_without_photos_is_refused_with_advice(tmp_path: Path, content) -> None:
    if content is None:
        tmp_path /= "missing"
    with pytest.raises(CommandError, match=r"is not a folder|named after a species"):
        run_import(tmp_path)


def test_a_name_of_digits_that_is_no_id_of_mushroom_observer_is_only_a_name(folder: Path) -> None:
    for number, name in enumerate((2**63, 10**30, 10**12, "٣")):
        (folder / "Coprinus_comatus" / f"{name}.jpg").write_bytes(drawn_photo(150 + number))
    out, _ = run_import(folder)
    assert out.startswith("8 imported, 1 already there, 1 broken.")
    photo = Photo.objects.get(origin=f"{2**63}.jpg")
    assert (photo.mushroom_observer_id, photo.label.name) == (None, "Coprinus comatus")
    assert Photo.objects.filter(mushroom_observer_id=None).count() == 4


def test_progress_is_shown_in_lines_where_there_is_no_terminal(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("supervision.management.commands.import_photos.LINE_EVERY", 2)
    (tmp_path / "Amanita_muscaria").mkdir()
    for number in range(5):
        (tmp_path / "Amanita_muscaria" / f"{number}.jpg").write_bytes(b"not a photo")
    _, err = run_import(tmp_path)
    assert err.startswith("2 of 5 photos\n4 of 5 photos\nbroken, skipped:")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("review", ["label", "exclude"])
def test_an_import_does_not_overwrite_a_review_that_is_made_meanwhile(users, review: str) -> None:
    data, muscaria, comatus = drawn_photo(160), *ten_species()[1:3]
    photo = photo_store(data=data, image=decode_photo(data), origin="a.jpg")
    with transaction.atomic():
        if review == "label":
            photo_label(photo=photo, species=comatus, by=users["bob"])
        else:
            photo_exclude(photo=photo, by=users["bob"])
        reviewed = Photo.objects.filter(pk=photo.pk).values().get()
        waiting = start_blocked(
            lambda: photo_import(
                data=data,
                label=muscaria,
                split=Photo.Split.TRAINING,
                origin="b.jpg",
                mushroom_observer_id=None,
            )
        )
    outcome = ImportOutcome.KNOWN if review == "label" else ImportOutcome.EXCLUDED
    assert waiting.result(30).outcome == outcome
    assert Photo.objects.filter(pk=photo.pk).values().get() == reviewed
