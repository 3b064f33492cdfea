"""Dumps that cannot be used are refused with a sentence, and nothing is imported."""

import os
import signal
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from mlmodels.models import SpeciesName
from observations.models import MushroomObserverImage
from tests.support.labelled_photos import ten_species
from tests.support.locks import is_somebody_waiting
from tests.support.paths import PROJECT
from tests.support.stack import eventually

pytestmark = pytest.mark.django_db


def names() -> list[dict]:
    return list(SpeciesName.objects.order_by("pk").values())


def refused(run, folder) -> str:
    """Import, which has to fail and to change nothing; return what was said."""
    before = names()
    with pytest.raises(CommandError) as error:
        run(folder)
    assert error.value.returncode == 1
    assert names() == before
    assert not MushroomObserverImage.objects.exists()
    return str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "names.csv",
        "name_descriptions.csv",
        "observations.csv",
        "images_observations.csv",
        "images.csv",
    ],
)
def test_a_missing_file_is_named(folder, run, name) -> None:
    (folder / name).unlink()
    assert f"{folder / name} can't be read (No such file or directory)" in refused(run, folder)


def test_a_folder_that_is_none_is_named(folder, run) -> None:
    assert "can't be read (Not a directory)" in refused(run, folder / "names.csv")


def test_missing_and_doubled_columns_are_named(folder, run) -> None:
    text = (folder / "observations.csv").read_text()
    (folder / "observations.csv").write_text(text.replace("vote_cache", "votes", 1))
    assert "observations.csv lacks vote_cache in its first line" in refused(run, folder)
    (folder / "observations.csv").write_text(text.replace("when", "name_id", 1))
    assert "observations.csv lacks name_id in its first line, or has it twice" in refused(
        run, folder
    )


def test_commas_instead_of_tabs_are_recognised(folder, run) -> None:
    text = (folder / "images.csv").read_text()
    (folder / "images.csv").write_text(text.replace("\t", ","))
    assert "Its columns have to be separated by tabs." in refused(run, folder)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"\n", b"\0" * 100 + b"\n"])
def test_what_is_no_dump_is_refused(folder, run, content) -> None:
    (folder / "names.csv").write_bytes(content)
    assert "names.csv" in refused(run, folder)


def test_half_a_file_is_refused(folder, run) -> None:
    data = (folder / "images.csv").read_bytes()
    (folder / "images.csv").write_bytes(data[: len(data) // 2].rstrip(b"\n"))
    assert "images.csv ends within a line: it is not complete" in refused(run, folder)


def test_a_few_bad_rows_are_left_out_and_told(folder, run) -> None:
    with (folder / "observations.csv").open("ab") as file:
        file.write(b"1\t2\n")
        file.write(b"x\t2\tNULL\tNULL\t1\tNULL\n")
        file.write(b"7\t2\t\xff\tNULL\t1\tNULL\n")
        file.write(b"8\t2\tNULL\tNULL\tnan\tNULL\n")
        file.write(b"9\t2\tNULL\tNULL\t1e9\tNULL\n")
        file.write(b"9" * 3_000_000 + b"\n")
        file.write(b"99999999999999999999\t2\tNULL\tNULL\t1\tNULL\n")
    err = run(folder).err
    assert "line 32: it has 2 fields, not 6" in err
    assert "line 33: 'x' is no id" in err
    assert "line 34: it is not text in UTF-8" in err
    assert "line 35: 'nan' is no confidence from -3 to 3" in err
    assert "observations.csv: 2 more" in err
    assert MushroomObserverImage.objects.exists()


def test_too_many_bad_rows_are_a_damaged_file(folder, run) -> None:
    with (folder / "observations.csv").open("ab") as file:
        file.write(b"1\t2\n" * 20)
    assert "20 of 50 rows can't be read. Download it again." in refused(run, folder)


@pytest.mark.parametrize("value", ["-1", "x", "1e9", "99999999999999"])
def test_numbers_that_are_none_are_wrong_usage(folder, value) -> None:
    with pytest.raises(CommandError, match="is no number from 0 to"):
        call_command("import_mushroom_observer", str(folder), f"--photos={value}")


@pytest.mark.django_db(transaction=True)
def test_two_imports_do_not_run_at_a_time(folder, run) -> None:
    ten_species()
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [0x64756D7073])
        with pytest.raises(CommandError, match="Another import") as error:
            run(folder)
        assert error.value.returncode == 3
    finally:
        other.close()
    assert eventually(is_lock_free, 30)
    run(folder)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_import_that_is_ended_midway_leaves_nothing_and_can_be_repeated(
    folder, run, number, code
) -> None:
    ten_species()
    before = names()
    database = connection.settings_dict
    url = (
        f"postgres://{database['USER']}:{database['PASSWORD']}"
        f"@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:  # the import waits for this when it has read all files
            cursor.execute("BEGIN; LOCK TABLE observations_mushroomobserverimage")
        process = subprocess.Popen(
            [sys.executable, "manage.py", "import_mushroom_observer", str(folder)],
            cwd=PROJECT, env=os.environ | {"DATABASE_URL": url}, stderr=subprocess.PIPE, text=True,
            # A shell that runs the tests in the background has them ignore SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )  # fmt: skip
        assert eventually(is_somebody_waiting, 60)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        other.close()
    assert process.returncode == code, said
    assert eventually(is_lock_free, 30)  # the server notices that the process has gone
    assert "Traceback" not in said
    assert not MushroomObserverImage.objects.exists()
    assert names() == before
    run(folder)
    assert MushroomObserverImage.objects.exists()


def is_lock_free() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        return cursor.fetchone()[0] == 0
