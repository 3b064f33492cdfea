"""The command `move_files`: from the home to an object store, and back."""

import hashlib
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.support.object_stores import Proxy, StoredFiles


def photo(data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    return f"photos/{sha256[:2]}/{sha256}"


def fill(home: Path) -> dict[str, bytes]:
    """Put files into a home; return those that are to be moved, by their keys."""
    files = {f"media/{photo(data)}": data for data in (b"one", b"two", b"three" * 1000)}
    files |= {f"models/VGG16/1/{name}": name.encode() for name in ("card.json", "engine.tflite")}
    files |= {"incoming/17": b"waits"}
    others = {
        "incoming/tmpx.upload": b"of a process that died",
        "models/VGG16/.2.partial/card.json": b"half copied",
        "cache/pictures/thumbnail/ab/abc.jpg": b"is made again",
    }
    for name, data in (files | others).items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return files


def move(*arguments: str) -> str:
    output = StringIO()
    call_command("move_files", *arguments, stdout=output)
    return output.getvalue()


def contents(stored_files: StoredFiles) -> dict[str, bytes]:
    prefix = stored_files.prefix
    return {key: stored_files.store.read(f"{prefix}/{key}") for key in stored_files.remote()}


def home_files(home: Path, names: dict[str, bytes]) -> dict[str, bytes]:
    return {name: (home / name).read_bytes() for name in names if (home / name).exists()}


def test_files_move_to_the_store_and_back(stored_files: StoredFiles) -> None:
    home = stored_files.home
    files = fill(home)
    assert "6 files, 5 kB, are in the object store" in move("--keep")
    assert contents(stored_files) == home_files(home, files) == files
    move()
    assert contents(stored_files) == files
    assert home_files(home, files) == {}
    assert len(stored_files.local()) == 3, "what is temporary, or is made again, stays"
    assert "are in CHAMPIPY_HOME" in move("--back")
    assert home_files(home, files) == files
    assert contents(stored_files) == {}
    assert "0 files" in move("--back")


def test_a_failing_store_interrupts_it_and_it_goes_on_from_there(
    stored_files: StoredFiles, proxy: Proxy
) -> None:
    files = fill(stored_files.home)
    proxy.plan = lambda request: "error" if request.number > 8 else ""
    with pytest.raises(CommandError, match="Run the command again"):
        move()
    there = home_files(stored_files.home, files)
    assert there, "it was interrupted"
    assert (contents(stored_files) | there) == files, "each file is in one place at least"
    proxy.plan = lambda request: ""
    move()
    assert contents(stored_files) == files
    assert home_files(stored_files.home, files) == {}


def test_a_store_that_stores_other_bytes_gets_no_file(
    stored_files: StoredFiles, proxy: Proxy
) -> None:
    files = fill(stored_files.home)
    proxy.plan = lambda request: "corrupt" if request.method == "GET" else ""
    with pytest.raises(CommandError):
        move()
    assert home_files(stored_files.home, files) == files


def test_damaged_photos_stay_and_are_named(stored_files: StoredFiles) -> None:
    files = fill(stored_files.home)
    name = f"media/{photo(b'one')}"
    (stored_files.home / name).write_bytes(b"rust")
    with pytest.raises(CommandError, match=f"1 files are damaged.*{photo(b'one')}"):
        move()
    assert contents(stored_files) == {key: files[key] for key in files if key != name}
    assert (stored_files.home / name).read_bytes() == b"rust"


def test_without_a_store_it_says_what_to_set() -> None:
    with pytest.raises(CommandError, match="CHAMPIPY_STORAGE_URL is empty"):
        move()
