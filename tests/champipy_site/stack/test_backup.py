"""Backs up a stack that works, restores it elsewhere, and refuses damaged backups."""

import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.conf import settings

from champipy_site.stack import backup as backups
from champipy_site.stack import restore as restores
from champipy_site.stack.postgresql import connect
from champipy_site.stack.state import Home, StackError
from tests.support.photos import drawn_photo
from tests.support.stack import Stack, empty_stack, eventually, prepared_stack

MAKE_ROWS = """
from accounts.models import User
from predictions.models import Photo
from mlmodels.models import Species
from supervision.review.services import photo_exclude, photo_label
from django.contrib.sessions.backends.db import SessionStore
first, second = Photo.objects.order_by("id")[:2]
bob = User.objects.get(username="bob")
photo_label(photo=first, species=Species.objects.order_by("name").last(), by=bob)
photo_exclude(photo=second, by=bob)
SessionStore().save()
"""
COUNT_ROWS = """
import json
from django.apps import apps
APPS = ("accounts", "knox", "mlmodels", "observations", "predictions", "supervision")
print(json.dumps({
    model._meta.label: sorted(map(str, model.objects.values_list()))
    for model in apps.get_models()
    if model._meta.app_label in APPS
}))
"""


def shell(stack: Stack, code: str) -> str:
    """Run Python in the stack's shell and return what it prints."""
    done = stack("shell", "--verbosity", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def token_of(stack: Stack) -> str:
    login = {"username": "alice", "password": "wonderland"}
    answer = requests.post(f"{base(stack)}/token", json=login, timeout=30)
    return answer.json()["token"]


def base(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.port}/api/v1"


def predict(stack: Stack, token: str, photo: bytes) -> dict:
    answer = requests.post(
        f"{base(stack)}/predictions",
        headers={"Authorization": f"Token {token}", "Prefer": "wait=30"},
        files={"file": ("photo.jpg", photo)},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def files_of(home: Home) -> dict[str, bytes]:
    """Return the photos and the files of the versions by their paths."""
    return {
        str(path.relative_to(home.path)): path.read_bytes()
        for folder in ("media", "models")
        for path in (home.path / folder).rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_restored_stack_has_everything_and_answers_with_the_old_token(tmp_path):
    with prepared_stack() as stack, empty_stack() as other:
        assert stack.up().returncode == 0
        token = token_of(stack)
        asked = [predict(stack, token, drawn_photo(seed)) for seed in range(3)]
        shell(stack, MAKE_ROWS)
        (stack.home.path / "media" / "photos" / "stray").write_bytes(b"named by no row")
        (stack.home.path / "incoming").mkdir(exist_ok=True)

        made = stack("backup", str(tmp_path / "backup.tar"))
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["backup.tar"]
        again = stack("backup", str(tmp_path / "backup.tar"))
        assert again.returncode == 1
        assert "exists already" in again.stderr
        rows = json.loads(shell(stack, COUNT_ROWS))
        files = files_of(stack.home)
        del files["media/photos/stray"]

        content = (tmp_path / "backup.tar").read_bytes()
        for name in ("secret_key", "postgresql.password", "valkey.password"):
            assert (stack.home.path / name).read_bytes() not in content
        refused = stack("restore", str(tmp_path / "backup.tar"))
        assert refused.returncode == 1
        assert "in use by './champipy up'" in refused.stderr
        assert stack("down").returncode == 0
        refused = stack("restore", str(tmp_path / "backup.tar"))
        assert refused.returncode == 1
        assert "is not empty" in refused.stderr
        assert json.loads(shell(stack, COUNT_ROWS)) == rows

        restored = other("restore", str(tmp_path / "backup.tar"))
        assert restored.returncode == 0, restored.stderr
        assert files_of(other.home) == files
        assert json.loads(shell(other, COUNT_ROWS)) == rows
        assert (
            shell(
                other,
                "from django.contrib.sessions.models import Session as S\nprint(S.objects.count())",
            )
            == "0\n"
        )
        assert other.up().returncode == 0
        mine = requests.get(
            f"{base(other)}/predictions",
            headers={"Authorization": f"Token {token}"},
            timeout=30,
        ).json()["results"]
        assert {(each["id"], each["sha256"]) for each in mine} == {
            (each["id"], each["sha256"]) for each in asked
        }
        assert predict(other, token, drawn_photo(0))["reused"] is True
        assert predict(other, token, drawn_photo(10))["reused"] is False


@pytest.fixture(scope="module")
def made_backup() -> Iterator[tuple[Stack, Path]]:
    """Yield a stack that is down and a backup of it."""
    with prepared_stack() as stack:
        target = stack.home.path.parent / "backup.tar"
        done = stack("backup", str(target))
        assert done.returncode == 0, done.stderr
        yield stack, target


def rewritten(source: Path, target: Path, **changed: bytes) -> Path:
    """Copy a backup with other bytes for the members whose last word of the name is given."""
    with tarfile.open(source) as tar, tarfile.open(target, "w") as copy:
        for member in tar:
            data = tar.extractfile(member).read()
            data = changed.get(member.name.rsplit("/")[-1].replace(".", "_"), data)
            member.size = len(data)
            copy.addfile(member, io.BytesIO(data))
    return target


@pytest.mark.slow
def test_incomplete_or_changed_backup_is_refused_and_nothing_touched(made_backup, tmp_path):
    _, source = made_backup
    size = source.stat().st_size
    with tarfile.open(source) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        manifest_at = tar.getmember("manifest.json").offset
    home = Home(tmp_path / "home")
    cut = tmp_path / "cut.tar"
    for length in (0, 100, size // 2, manifest_at, manifest_at + 600):
        cut.write_bytes(source.read_bytes()[:length])
        with pytest.raises(StackError, match="not a complete backup"):
            restores.restore(home, cut)
    later = json.dumps({**manifest, "champipy": "99.0.0"}).encode()
    for changes, message in (
        ({"card_json": b"{}"}, r"damaged: models/VGG16/1/card.json"),
        ({"database_dump": b"x"}, "damaged: database.dump"),
        ({"manifest_json": later}, r"made by ChampiPy 99\.0\.0"),
        ({"manifest_json": b"{}"}, "manifest is missing"),
    ):
        changed = rewritten(source, tmp_path / "changed.tar", **changes)
        with pytest.raises(StackError, match=message):
            restores.restore(home, changed)
    assert not home.path.exists()


@pytest.mark.parametrize(
    "name", ["../evil", "media/../../evil", "/etc/evil", "secret_key", "media"]
)
def test_members_outside_the_known_folders_are_refused(tmp_path, name):
    with tarfile.open(tmp_path / "backup.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(StackError, match="does not belong in a backup"):
        restores.restore(Home(tmp_path / "home"), tmp_path / "backup.tar")
    link = tarfile.TarInfo("media/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "backup.tar", "w") as tar:
        tar.addfile(link)
    with pytest.raises(StackError, match="does not belong in a backup"):
        restores.restore(Home(tmp_path / "home"), tmp_path / "backup.tar")
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_restore_is_said_and_cleared_by_the_next(made_backup):
    _, source = made_backup
    with empty_stack() as other:
        command = [sys.executable, "-P", "-m", "champipy_site.stack", "restore", str(source)]
        process = subprocess.Popen(command, env=other.environment, cwd="/", stderr=-3, stdout=-3)
        folder = other.home.path / "models"
        assert eventually(lambda: folder.exists() and any(folder.glob("*")))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for arguments in (("up",), ("check",), ("backup", "/tmp/never.tar")):
            done = other(*arguments)
            assert done.returncode == 1
            assert "did not finish" in done.stderr
        done = other("restore", str(source))
        assert done.returncode == 0, done.stderr
        assert not other.home.restoring.exists()
        assert list(other.home.path.glob("restoring*")) == []
        assert "VGG16 1" in shell(
            other, "from mlmodels.models import ModelVersion\nprint(ModelVersion.objects.get())"
        )


@pytest.mark.slow
def test_restore_that_fails_leaves_the_home_empty(made_backup, tmp_path):
    _, source = made_backup
    with tarfile.open(source) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
    manifest["files"]["database.dump"] = hashlib.sha256(b"no dump").hexdigest()
    changes = {"database_dump": b"no dump", "manifest_json": json.dumps(manifest).encode()}
    changed = rewritten(source, tmp_path / "changed.tar", **changes)
    with empty_stack() as other:
        done = other("restore", str(changed))
        assert done.returncode == 1
        assert "pg_restore could not load the database" in done.stderr
        assert files_of(other.home) == {}
        assert not (other.home.path / "postgresql").exists()
        assert not other.home.restoring.exists()
        assert other("restore", str(source)).returncode == 0


@pytest.fixture
def given_database() -> Iterator[str]:
    """Yield the URL of an empty database on a server that another command runs."""
    database = settings.DATABASES["default"]
    server = (
        f"postgres://{database['USER']}:{database['PASSWORD']}"
        f"@{database['HOST']}:{database['PORT']}"
    )
    admin = connect(f"{server}/{database['NAME'].removeprefix('test_')}")
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("CREATE DATABASE restored")
        yield f"{server}/restored"
        cursor.execute("DROP DATABASE restored WITH (FORCE)")
    admin.close()


@pytest.mark.slow
def test_restore_into_a_given_database_and_backup_of_it(made_backup, given_database, tmp_path):
    _, source = made_backup
    with empty_stack(DATABASE_URL=given_database) as other:
        restored = other("restore", str(source))
        assert restored.returncode == 0, restored.stderr
        assert not (other.home.path / "postgresql").exists()
        made = other("backup", str(tmp_path / "second.tar"))
        assert made.returncode == 0, made.stderr
    with empty_stack(DATABASE_URL=given_database) as third:
        refused = third("restore", str(source))
        assert refused.returncode == 1
        assert "database that DATABASE_URL names is not empty" in refused.stderr
        assert not third.home.path.exists()
    manifests = [
        restores.read_manifest(path)["files"] for path in (source, tmp_path / "second.tar")
    ]
    assert all(each.pop("database.dump") for each in manifests)
    assert manifests[0] == manifests[1]


def test_dump_of_a_newer_server_is_refused():
    assert backups.dumpable_version(180004) == 18
    with pytest.raises(StackError, match="PostgreSQL 99, and the pg_dump"):
        backups.dumpable_version(990001)
