"""import_photos: imports labelled photos from folders, and refuses some."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from predictions.models import Photo
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
    out, err = StringIO(), StringIO()
    call_command("import_photos", str(folder), "--split", split, *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_photos_are_imported_and_broken_and_unknown_ones_reported(folder: Path) -> None:
    out, err = run_import(folder)
    assert out.startswith("4 imported, 1 already there, 1 broken. There are 4 training photos now.")
    assert "broken.jpg" in err
    assert "Boletus_edulis is not a known species" in err
    photo = Photo.objects.get(mushroom_observer_id=1110)
    assert (photo.label.name, photo.label_source) == ("Coprinus comatus", "imported")
    assert (photo.width, photo.height, photo.origin) == (320, 240, "1110.jpg")


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
