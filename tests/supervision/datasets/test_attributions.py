"""import_photos --attribution: whose the photos are, and under which licence."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from predictions.models import MAX_ATTRIBUTION, Photo
from tests.support.photos import drawn_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("production")]

BY_SA = "http://creativecommons.org/licenses/by-sa/3.0/"
HEADER = "path,source,author,licence\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with four photos of two other species."""
    folder = tmp_path / "others"
    for number, name in enumerate(["Boletus_edulis", "Russula_emetica"]):
        (folder / name).mkdir(parents=True)
        for index in range(2):
            data = drawn_photo(300 + 10 * number + index)
            (folder / name / f"{1000 * (number + 1) + 100 * index}.jpg").write_bytes(data)
    return folder


def run_import(folder: Path, table: str | bytes) -> str:
    path = folder.parent / "authors.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    out = StringIO()
    options = ("--split", "training", "--other", "--attribution", str(path))
    call_command("import_photos", str(folder), *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def stored() -> dict[str, tuple[str, str, str]]:
    rows = Photo.objects.order_by("id").values_list("origin", "author", "licence", "source")
    return {origin: (author, licence, source) for origin, author, licence, source in rows}


def test_author_licence_and_source_are_stored_and_nothing_is_assumed(folder: Path) -> None:
    out = run_import(
        folder,
        "\ufeff"
        + HEADER
        + f'others/Boletus_edulis/1000.jpg,https://a.example/1,"Ann, B.",{BY_SA}\n'
        "Boletus_edulis/1100.jpg,,Bea,All rights reserved\n"
        "Russula_emetica/2000.jpg,,Cec,CC BY 4.0\n"
        "Russula_emetica/gone.jpg,,Dot,CC BY 4.0\n",
    )
    by_sa = BY_SA.replace("http:", "https:")
    assert stored() == {
        "1000.jpg": ("Ann, B.", by_sa, "https://a.example/1"),
        "1100.jpg": ("Bea", "", ""),
        "2000.jpg": ("Cec", "https://creativecommons.org/licenses/by/4.0/", ""),
        "2100.jpg": ("", "", ""),
    }
    assert out.splitlines()[1:] == [
        "2 of these photos may be shown to all users as similar ones; 1 have no row in the table.",
        "Rows whose licence does not allow it, or is not known: All rights reserved (1).",
        "Rows that name no photo of the folder: 1, the first one Russula_emetica/gone.jpg.",
    ]
    out = run_import(folder, HEADER + f"others/Boletus_edulis/1000.jpg,,Ann,{BY_SA}\n")
    assert out.splitlines()[1:] == [
        "1 of these photos may be shown to all users as similar ones; 3 have no row in the table.",
    ]


def test_another_import_adds_and_withdraws_licences(folder: Path) -> None:
    run_import(folder, HEADER)
    assert {licence for _, licence, _ in stored().values()} == {""}
    run_import(folder, HEADER + f"Boletus_edulis/1000.jpg,,Ann,{BY_SA}\n")
    assert stored()["1000.jpg"][1] != ""
    run_import(folder, HEADER + "Russula_emetica/2000.jpg,,Cec,CC0\n")
    assert stored()["1000.jpg"][1] != "", "a table without a row changes nothing"
    run_import(folder, HEADER + "Boletus_edulis/1000.jpg,,Ann,all rights reserved\n")
    assert stored()["1000.jpg"] == ("Ann", "", "")
    assert Photo.objects.count() == 4


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("path,who\na,b\n", "lacks the columns author, licence"),
        ("", "lacks the columns"),
        (HEADER + ",,Ann,CC0\n", "line 2 names no file"),
        (HEADER + "a,,Ann,CC0\na,,Ann,CC0\n", "line 3: a stands there twice"),
        (HEADER + f"a,,{'x' * (MAX_ATTRIBUTION + 1)},CC0\n", "line 2: the author has over"),
        (HEADER + "a,,A\x00nn,CC0\n", "control characters"),
        (HEADER + "a,javascript:alert(1),Ann,CC0\n", "is no http or https address"),
        (HEADER + 'a,https://a.example/"><script>,Ann,CC0\n', "is no http or https address"),
        (HEADER.encode() + b"a,,Zo\xeb,CC0\n", "can't be read as CSV in UTF-8"),
        (HEADER + 'a,"unclosed\n', "can't be read as CSV"),
        (HEADER + f"a,,{'x' * 200_000},CC0\n", "can't be read as CSV"),
    ],
)
def test_a_table_that_is_wrong_is_refused_before_anything_is_imported(
    folder: Path, table: str | bytes, complaint: str
) -> None:
    with pytest.raises(CommandError, match="Nothing was imported") as error:
        run_import(folder, table)
    assert complaint in str(error.value)
    assert Photo.objects.count() == 0
