"""A whole stack whose photos and versions are in an object store."""

import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from champipy_site.stack.ports import choose_port
from champipy_site.stack.state import read_state
from tests.support.object_stores import (
    CREDENTIALS,
    KINDS,
    Proxy,
    new_prefix,
    running_proxy,
    running_store,
)
from tests.support.photos import drawn_photo
from tests.support.stack import Stack, empty_stack, eventually
from tests.support.versions import version_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPECIES = "Amanita muscaria"


def files_in(stack: Stack) -> list[str]:
    """Return the files in the home that have to be in the store."""
    folders = ("media", "models", "incoming", "cache/pictures")
    return [
        str(path)
        for folder in folders
        for path in (stack.home.path / folder).rglob("*")
        if path.is_file()
    ]


def import_a_listed_photo(stack: Stack, folder: Path) -> None:
    """Import a photo that all users may see."""
    species = folder / "listed" / SPECIES.replace(" ", "_")
    species.mkdir(parents=True)
    (species / "1.jpg").write_bytes(drawn_photo(700))
    table = folder / "table.csv"
    row = f"{species.name}/1.jpg,Somebody,CC BY-SA 4.0"
    table.write_text(f"path,author,licence\n{row}\n")
    done = stack(
        *("import_photos", str(folder / "listed"), "--split", "training"),
        *("--attribution", str(table)),
    )
    assert done.returncode == 0, done.stdout + done.stderr


class User:
    """Alice, as a client of the API."""

    def __init__(self, stack: Stack) -> None:
        self.base = f"{stack.url}/api/v1"
        self.session = requests.Session()
        login = {"username": "alice", "password": "wonderland"}
        token = self.session.post(f"{self.base}/token", json=login, timeout=30).json()["token"]
        self.session.headers["Authorization"] = f"Token {token}"

    def post(self, data: bytes, prefer: str = "wait=30") -> requests.Response:
        return self.session.post(
            f"{self.base}/predictions",
            files={"file": ("photo.jpg", data)},
            headers={"Prefer": prefer},
            timeout=60,
        )

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(f"{self.base}{path}", headers=headers, timeout=60)

    def wait(self, ask: Callable[[], requests.Response]) -> requests.Response:
        """Ask until it is ready."""
        deadline = time.monotonic() + 120
        while (answer := ask()).status_code in (202, 503) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert answer.status_code == 200, answer.text
        return answer

    def predict(self, data: bytes) -> dict:
        answer = self.post(data)
        if answer.status_code == 200:
            return answer.json()
        assert answer.status_code == 202, answer.text
        path = f"/predictions/{answer.json()['id']}"
        assert eventually(lambda: self.get(path).json()["status"] != "pending", 120)
        return self.get(path).json()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_has_its_files_in_an_object_store(kind: str, tmp_path: Path) -> None:
    prefix = new_prefix()
    with running_store(kind) as store, running_proxy(store) as proxy:
        url = store.url(prefix, address=proxy.address)
        with empty_stack(CHAMPIPY_STORAGE_URL=url, **CREDENTIALS) as stack:
            done = stack.up()
            assert done.returncode == 0, done.stdout + done.stderr
            use(stack, tmp_path, lambda: store.keys(f"{prefix}/"), proxy)
            backup = tmp_path / "backup.tar"
            made = stack("backup", str(backup))
            assert made.returncode == 0, made.stderr
            assert "not in this backup" in made.stderr
            with tarfile.open(backup) as tar:
                assert tar.getnames() == ["database.dump", "manifest.json"]
            for log in stack.home.log_folder.iterdir():
                assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in log.read_text(errors="replace")


@pytest.mark.parametrize(
    ("is_there", "advice"),
    [(False, "`endpoint` in CHAMPIPY_STORAGE_URL is right"), (True, "Make the bucket that")],
)
def test_commands_say_what_to_do_about_a_store_that_cannot_be_used(
    is_there: bool, advice: str, tmp_path: Path
) -> None:
    species = tmp_path / SPECIES.replace(" ", "_")
    species.mkdir()
    (species / "1.jpg").write_bytes(drawn_photo(702))
    with running_store("moto") as store:
        address = store.address if is_there else f"127.0.0.1:{choose_port()}"
        url = store.url(bucket="no-such-bucket", address=address)
        with empty_stack(CHAMPIPY_STORAGE_URL=url, **CREDENTIALS) as stack:
            imported = ("import_photos", str(tmp_path), "--split", "training")
            for done in (stack.up(), stack(*imported)):
                told = done.stdout + done.stderr
                assert done.returncode == 1, told
                assert advice in told
                assert "Traceback" not in told


def use(stack: Stack, folder: Path, keys: Callable[[], list[str]], proxy: Proxy) -> None:
    def photos() -> list[str]:
        return [key for key in keys() if "/media/" in key]

    def incoming() -> list[str]:
        return [key for key in keys() if "/incoming/" in key]

    user = User(stack)
    done = user.predict(drawn_photo(701))
    assert done["status"] == "done"
    import_a_listed_photo(stack, folder)
    assert len(photos()) == 2
    path = f"/predictions/{done['id']}"
    picture = user.wait(lambda: user.get(f"{path}/photo"))
    assert picture.headers["Content-Type"] == "image/jpeg"
    explained = user.wait(lambda: user.get(f"{path}/explanation", Accept="application/json"))
    assert explained.json()["species"] == done["predictions"][0]["species"]
    similar = user.wait(lambda: user.get(f"{path}/similar"))
    assert [found["species"] for found in similar.json()["results"]] == [SPECIES]

    second = version_folder(folder / "second", temperature=3.0)
    registered = stack("register_model", str(second), "--promote")
    assert registered.returncode == 0, registered.stdout + registered.stderr
    again = user.predict(drawn_photo(701))
    assert (again["status"], again["model"]["version"]) == ("done", 2)

    # A store that fails: nothing is lost, doubled or stuck.
    proxy.one_in(20, "drop", "lose", "error", "cut", "corrupt")
    answers = [user.predict(drawn_photo(seed)) for seed in range(710, 725)]
    assert {answer["status"] for answer in answers} == {"done"}
    assert eventually(lambda: not incoming()), "a worker deletes them once it has answered"
    proxy.plan = lambda request: "error"
    refused = user.post(drawn_photo(730))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (
        503,
        "storage_unavailable",
    )
    assert user.predict(drawn_photo(701))["reused"] is True
    proxy.plan = lambda request: ""
    assert user.predict(drawn_photo(730))["status"] == "done"
    assert len(photos()) == 2 + 15 + 1

    for prediction in (done, again):
        deleted = user.session.delete(f"{user.base}/predictions/{prediction['id']}", timeout=60)
        assert deleted.status_code == 204
    repeated = user.predict(drawn_photo(701))  # the two above it had left it to this one
    user.session.delete(f"{user.base}/predictions/{repeated['id']}", timeout=60)
    assert files_in(stack) == []
    assert eventually(lambda: not incoming())
    assert json.dumps(read_state(stack.home).environment).find("AWS") == -1
