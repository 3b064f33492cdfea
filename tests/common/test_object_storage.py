"""Files in an object store: two independent servers, also slow, failing and lying ones."""

import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile

from common.storage import DamagedFileError, FileStore, StorageUnavailable, cache, file_store
from common.storage import objects as objects_module
from common.storage.cache import cached_bytes
from common.storage.local import LocalStorage
from common.storage.objects import ObjectStorage
from common.storage.url import storages_of
from tests.support.object_stores import (
    CREDENTIALS,
    Proxy,
    StoredFiles,
)
from tests.support.paths import PROJECT


def test_files_in_an_object_store(stored_files: StoredFiles, tmp_path) -> None:
    do_all_that_a_storage_does(file_store("models"), tmp_path)


def test_files_under_the_home_do_the_same(settings, tmp_path) -> None:
    settings.CHAMPIPY_HOME = tmp_path
    do_all_that_a_storage_does(file_store("models"), tmp_path)


def do_all_that_a_storage_does(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("a/b")
    assert not store.exists("a/b")
    store.delete("a/b")
    assert list(store.files()) == []
    assert store.save("a/b", ContentFile(b"first")) == "a/b"
    store.write("a/b", b"second")
    store.write("a/bc", b"third one")
    store.write("d", b"")
    assert (store.read("a/b"), store.read("d")) == (b"second", b"")
    with store.open("a/bc") as file:
        assert (file.read(5), file.read()) == (b"third", b" one")
    assert store.size("a/bc") == 9
    sizes = [(file.name, file.size) for file in store.files()]
    assert sizes == [("a/b", 6), ("a/bc", 9), ("d", 0)]
    assert [file.name for file in store.files("a/bc")] == ["a/bc"]
    assert [file.name for file in store.files("a/")] == ["a/b", "a/bc"]
    assert all(abs(file.modified - time.time()) < 120 for file in store.files())
    assert (store.has_folder("a"), store.has_folder("d/e")) == (True, False)
    assert (store.exists("d"), store.exists("e")) == (True, False)
    store.delete("a/b")
    store.discard("d")
    assert [file.name for file in store.files()] == ["a/bc"]

    source = tmp_path / "source"
    source.mkdir()
    for name in ("one", "two"):
        (source / name).write_text(name)
    store.save_folder("VGG16/1", source)
    (source / "two").unlink()
    (source / "three").write_text("three")
    store.save_folder("VGG16/1", source)
    folder = store.local_folder("VGG16/1", is_stale=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "one": "one",
        "three": "three",
    }
    assert store.delete_folder("VGG16/1") == 8
    assert not store.has_folder("VGG16/1")
    assert store.delete_folder("VGG16/1") == 0
    with pytest.raises(FileNotFoundError):
        store.local_folder("VGG16/1", is_stale=True)


def test_more_files_than_one_page_lists(stored_files: StoredFiles, monkeypatch) -> None:
    page = ObjectStorage._page
    monkeypatch.setattr(ObjectStorage, "_page", lambda *arguments: page(*arguments, MaxKeys=2))
    names = [f"{number}" for number in range(7)]
    for name in names:
        file_store("incoming").write(name, b"x")
    assert [file.name for file in file_store("incoming").files()] == names


def test_names_stay_within_their_storage(stored_files: StoredFiles) -> None:
    for store, alias in ((file_store("incoming"), "incoming"), (file_store("default"), "media")):
        store.write("same/name", alias.encode())
        assert stored_files.store.read(f"{stored_files.prefix}/{alias}/same/name") == alias.encode()
        with pytest.raises(NotImplementedError):
            store.path("same/name")
        with pytest.raises(Exception, match=r"denied|traversal|path"):
            store.read("../models/card.json")
    assert stored_files.local() == []


@pytest.mark.parametrize("faults", [("drop", "lose", "error"), ("cut", "corrupt")])
def test_one_failing_request_in_five_is_not_noticed(
    stored_files: StoredFiles, proxy: Proxy, faults
) -> None:
    proxy.one_in(5, *faults)
    store = file_store("default")
    contents = {f"file {number}": f"{number}".encode() * 1000 for number in range(15)}
    for name, data in contents.items():
        store.write(name, data)
    assert {name: store.read(name) for name in contents} == contents
    assert sorted(file.name for file in store.files()) == sorted(contents)
    for name in contents:
        store.delete(name)
    assert stored_files.remote() == []


def test_a_store_that_always_lies_is_not_believed(
    stored_files: StoredFiles, proxy: Proxy, caplog
) -> None:
    store = file_store("default")
    store.write("a", b"what was stored")
    proxy.plan = lambda request: "corrupt" if request.method == "GET" else ""
    with pytest.raises(DamagedFileError, match="media/a is not as it was stored"):
        store.read("a")
    assert "media/a is not as it was stored, even after" in caplog.text
    proxy.plan = lambda request: "cut" if request.method == "GET" else ""
    with pytest.raises(StorageUnavailable):
        store.read("a")


def test_bytes_that_changed_in_the_store_are_not_believed(stored_files: StoredFiles) -> None:
    store, data = file_store("default"), b"what was stored"
    store.write("a", data)
    stored_files.store.write(f"{stored_files.prefix}/media/a", b"something else!")
    with pytest.raises(DamagedFileError):
        cached_bytes(store, "a", sha256=hashlib.sha256(data).hexdigest())
    assert stored_files.local() == []


@pytest.fixture
def impatient(monkeypatch) -> Iterator[None]:
    """Wait for a store a tenth as long as otherwise."""
    objects_module._new_resource.cache_clear()
    for name in ("CONNECT_TIMEOUT_S", "READ_TIMEOUT_S", "RETRY_FOR_S"):
        monkeypatch.setattr(objects_module, name, getattr(objects_module, name) / 10)
    monkeypatch.setattr(objects_module, "MIN_BYTES_PER_S", 10_000_000)
    yield
    objects_module._new_resource.cache_clear()


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_store_that_is_silent_or_slow_holds_nobody_up(
    impatient: None, stored_files: StoredFiles, proxy: Proxy, fault
) -> None:
    store = file_store("default")
    store.write("a", b"x" * 200)
    proxy.plan = lambda request: fault
    with pytest.raises(StorageUnavailable):
        store.read("a")
    asked = len(proxy.seen)
    for call in (lambda: store.read("a"), lambda: store.write("b", b""), lambda: store.exists("a")):
        with pytest.raises(StorageUnavailable, match="not asked"):
            call()
    assert len(proxy.seen) == asked, "a store that does not answer is left alone for a moment"
    proxy.plan = lambda request: ""
    ObjectStorage._ask_after = 0.0  # that moment is over
    assert store.read("a") == b"x" * 200


def test_a_store_that_answers_slowly_is_waited_for(stored_files: StoredFiles, proxy: Proxy) -> None:
    proxy.delay_s = 0.5
    file_store("default").write("a", b"slow")
    assert file_store("default").read("a") == b"slow"
    assert len(proxy.seen) == 2, "one request each"


@pytest.mark.django_db
def test_what_a_store_refuses_is_told_without_secrets(
    stored_files: StoredFiles, settings, caplog, monkeypatch
) -> None:
    caplog.set_level(logging.DEBUG)
    url = stored_files.store.url(bucket="no-such-bucket")
    settings.STORAGES = {**settings.STORAGES, **storages_of(url)}
    with pytest.raises(StorageUnavailable, match=r"NoSuchBucket|does not exist") as raised:
        file_store("default").write("a", b"x")
    assert raised.value.is_refusal
    [error] = run_checks(tags=["database"], databases=["default"])
    assert error.id == "champipy.E006"
    assert "Make the bucket" in str(error.hint)
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in caplog.text + str(error) + str(raised.value)


@pytest.mark.django_db
def test_a_wrong_key_is_told_at_start(stored_files: StoredFiles, monkeypatch, settings) -> None:
    if stored_files.store.kind == "moto":
        pytest.skip("moto's server lets everybody in")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    settings.STORAGES = {**settings.STORAGES}  # storages read the environment when they are made
    [error] = run_checks(tags=["database"], databases=["default"])
    assert (error.id, "wrong" in str(error)) == ("champipy.E006", False)


@pytest.mark.django_db
def test_the_check_is_silent_where_all_is_well(stored_files: StoredFiles, proxy: Proxy) -> None:
    def found() -> list[str | None]:
        return [message.id for message in run_checks(tags=["database"], databases=["default"])]

    assert found() == []
    assert run_checks(tags=["database"]) == [], "only where servers are to be asked"
    assert stored_files.remote() == []
    proxy.plan = lambda request: "error"
    assert found() == ["champipy.W009"]


# --- copies on this machine ---------------------------------------------------------------------


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("cache/stored/files/*/*"))


def test_a_copy_is_read_instead_of_the_store_and_fetched_again_where_it_is_damaged(
    stored_files: StoredFiles, proxy: Proxy, settings
) -> None:
    store, data = file_store("default"), b"a photo"
    sha256 = hashlib.sha256(data).hexdigest()
    store.write("a", data)

    def read() -> tuple[bytes, int]:
        before = len(proxy.seen)
        return cached_bytes(store, "a", sha256=sha256), len(proxy.seen) - before

    assert [read(), read()] == [(data, 1), (data, 0)]
    [copy] = settings.CHAMPIPY_HOME.glob(f"cache/stored/files/*/{sha256}")
    for damaged in (b"rust", data[:3], b""):
        copy.write_bytes(damaged)
        assert [read(), read()] == [(data, 1), (data, 0)]


def test_the_least_recently_used_copies_go_first(stored_files, settings, monkeypatch) -> None:
    monkeypatch.setattr(cache, "IN_USE_S", -1.0)
    monkeypatch.setattr(cache, "SLACK", 0.0)  # look each time
    settings.CHAMPIPY_STORAGE_CACHE_MB = 0.000_01  # three files of three bytes
    store, names = file_store("default"), ["aaa", "bbb", "ccc", "ddd"]
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    for name in names:
        store.write(name, name.encode())

    def read(name: str) -> None:
        assert cached_bytes(store, name, sha256=hashes[name]) == name.encode()
        time.sleep(0.02)

    for name in ("aaa", "bbb", "ccc", "aaa", "ddd"):
        read(name)
    assert copies(settings.CHAMPIPY_HOME) == sorted(hashes[name] for name in ("aaa", "ccc", "ddd"))
    half = settings.CHAMPIPY_HOME / "cache" / "stored" / "dead.tmp"
    half.mkdir()
    (half / "file").write_bytes(b"what a killed process had begun")
    read("bbb")
    assert not half.exists()
    assert hashes["bbb"] in copies(settings.CHAMPIPY_HOME)
    assert len(copies(settings.CHAMPIPY_HOME)) <= 3


def test_threads_that_need_the_same_folder_fetch_it_once(
    stored_files: StoredFiles, proxy: Proxy, tmp_path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("card.json", "engine.tflite"):
        (source / name).write_text(name * 1000)
    store = file_store("models")
    store.save_folder("VGG16/1", source)
    before, folders = len(proxy.seen), []
    threads = [
        threading.Thread(target=lambda: folders.append(store.local_folder("VGG16/1")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 8
    assert len(set(folders)) == 1
    assert len(proxy.seen) - before == 3, "a list and two files"
    assert (folders[0] / "card.json").read_text() == "card.json" * 1000


# --- settings -----------------------------------------------------------------------------------


def test_without_a_url_all_files_are_in_the_home(settings, tmp_path) -> None:
    settings.CHAMPIPY_HOME, settings.MEDIA_ROOT = tmp_path, tmp_path / "media"
    settings.STORAGES = {**settings.STORAGES, **storages_of("")}
    folders = {"default": "media", "incoming": "incoming", "models": "models"}
    for alias, folder in (folders | {"pictures": "cache/pictures"}).items():
        assert isinstance(file_store(alias), LocalStorage)
        file_store(alias).write("a/b", b"x")
        assert (tmp_path / folder / "a" / "b").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://user:secret@bucket", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket?endpoint=http://user:secret@host", "AWS_SECRET_ACCESS_KEY"),
        ("https://bucket", "s3://"),
        ("s3://", "bucket"),
        ("s3://bucket?secret=1", "only `endpoint` and `region`"),
        ("s3://bucket?endpoint", "is no URL"),
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(reason)) as raised:
        storages_of(url)
    assert "secret@" not in str(raised.value)


OPENS_A_PATH = [
    r"\.file\.path\b",
    r"\bstorage\.path\(",
    r"\bdefault_storage\b",
    r"MEDIA_ROOT",
    r"CHAMPIPY_HOME\)?\s*/\s*[\"'](media|incoming|models)[\"']",
]


def test_no_code_opens_the_path_of_a_stored_file() -> None:
    """An object has none. Only the storage under CHAMPIPY_HOME and the settings know folders."""
    apps = ("accounts", "champipy_site", "common", "mlmodels", "observations", "predictions")
    exempt = {"common/storage/local.py", "common/storage/url.py", "champipy_site/settings.py"}
    found = [
        f"{path.relative_to(PROJECT)}: {line.strip()}"
        for app in (*apps, "supervision")
        for path in (PROJECT / app).rglob("*.py")
        if str(path.relative_to(PROJECT)) not in exempt
        for line in path.read_text().splitlines()
        if any(re.search(pattern, line) for pattern in OPENS_A_PATH)
    ]
    assert found == []
