"""Fixtures that tests share: real and drawn photos, users, the shipped model, workers.

Run the tests with `./champipy test`, which starts a PostgreSQL and a Valkey of their own.
"""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.core.management.commands import flush
from django.db import OperationalError, connection, transaction
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client
from django.utils import translation
from psycopg2.errors import DeadlockDetected
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import logins_seed
from champipy_site.stack.services import INFERENCE_MEMORY_KB
from common.storage.objects import ObjectStorage
from common.storage.url import storages_of
from common.valkey import valkey_client
from mlmodels.models import ModelVersion, Species, StageTransition
from mlmodels.services import PRETRAINED, version_promote, version_register
from observations import mushroom_observer_services
from predictions import dispatch, mushroom_observer_turns
from predictions.scoring_wakeup import stop_being_awake
from tests.support.api import client_of
from tests.support.files import files_of, incoming_path
from tests.support.mushroom_observer import MushroomObserver
from tests.support.object_stores import (
    CREDENTIALS,
    KINDS,
    ObjectStore,
    Proxy,
    StoredFiles,
    new_prefix,
    running_proxy,
    running_store,
)
from tests.support.paths import PROJECT, REAL_PHOTOS
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what flushes last, of the rest the fast tests first; chaos only if somebody asks."""
    if "chaos" not in config.getoption("markexpr"):
        chaos = [item for item in items if item.get_closest_marker("chaos")]
        config.hook.pytest_deselected(items=chaos)
        items[:] = [item for item in items if item not in chaos]
    items.sort(key=lambda item: (_flushes(item), item.get_closest_marker("slow") is not None))


def _flushes(item: pytest.Item) -> bool:
    """Return whether a test empties the tables at its end, also those that migrations fill.

    These tests run last. pytest-django sees to that, but fixtures with parameters for the whole
    session change the order afterwards.
    """
    marker = item.get_closest_marker("django_db")
    return marker is not None and bool(marker.kwargs.get("transaction"))


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """Return the folder of real photos; skip the test if there is none."""
    if not (REAL_PHOTOS / "evaluation").is_dir():
        pytest.skip(f"no real photos in {REAL_PHOTOS}: set CHAMPIPY_PHOTOS")
    return REAL_PHOTOS


@pytest.fixture(scope="session", autouse=True)
def static_folder() -> None:
    """Create the folder that `collectstatic` would fill; whitenoise warns if it is missing."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def default_language() -> Iterator[None]:
    """Forget the language of the last request: it stays that of the thread until the next one."""
    yield
    translation.deactivate()


MAX_DEADLOCKS = 5
KEPT_TABLES = {"django_content_type", "auth_permission"}


@pytest.fixture(scope="session", autouse=True)
def _flush_quickly() -> Iterator[None]:
    """Delete a test's rows where it committed them, but keep content types and permissions.

    To truncate all tables takes ten times as long, for the few rows that tests write. Nothing in
    content types and permissions changes; to make them again takes a fifth of a second.
    """

    def sql_flush(style: Any, connection: Any, **options: Any) -> list[str]:
        tables = {*connection.introspection.django_table_names(only_existing=True)} - KEPT_TABLES
        deletions = "; ".join(f"DELETE FROM {table}" for table in sorted(tables))
        # As TRUNCATE does, wait for the transactions of workers: they may be about to add rows.
        return [f"LOCK TABLE {', '.join(sorted(tables))}", deletions]

    execute = DatabaseOperations.execute_sql_flush

    def execute_again(operations: DatabaseOperations, statements: list[str]) -> None:
        # A worker's transaction may wait for one of the tables that are locked, and hold another.
        for _ in range(MAX_DEADLOCKS):
            try:
                return execute(operations, statements)
            except OperationalError as error:
                if not isinstance(error.__cause__, DeadlockDetected):
                    raise
        return execute(operations, statements)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", sql_flush)
        patch.setattr(DatabaseOperations, "execute_sql_flush", execute_again)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_, **__: None)
        yield


@pytest.fixture(autouse=True)
def no_incoming_files() -> Iterator[None]:
    """Delete the bytes of predictions that the test left pending."""
    yield
    for path in incoming_path(0).parent.glob("*"):
        path.unlink(missing_ok=True)


@pytest.fixture
def fresh_rate_limits() -> None:
    """Reset the rate limits, so that one test's requests do not count in another."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    for pattern in ("champipy:throttle_*", "champipy:quota_*", "champipy:usage_*"):
        for key in client.scan_iter(pattern):
            client.delete(key)


@pytest.fixture(scope="session")
def seeded_logins(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> list[User]:
    """Return the seeded logins as rows to be inserted: their passwords are hashed once."""
    with django_db_blocker.unblock(), transaction.atomic():
        logins_seed()
        logins = list(User.objects.order_by("pk"))
        transaction.set_rollback(True)
    return logins


@pytest.fixture
def users(db: None, fresh_rate_limits: None, seeded_logins: list[User]) -> dict[str, User]:
    """Return the four seeded logins by name."""
    rows = copy.deepcopy(seeded_logins)
    for row in rows:
        row.pk, row._state.adding = None, True
    User.objects.bulk_create(rows)
    return {user.username: user for user in User.objects.all()}


@pytest.fixture
def nobody(fresh_rate_limits: None) -> APIClient:
    return client_of(None)


@pytest.fixture
def alice(users: dict[str, User]) -> APIClient:
    return client_of(users["alice"])


@pytest.fixture
def bob(users: dict[str, User]) -> APIClient:
    return client_of(users["bob"])


@pytest.fixture
def admin(users: dict[str, User]) -> Client:
    """Return a browser in which Bob is logged in."""
    client = Client()
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture(scope="session")
def promoted(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> tuple[ModelVersion, StageTransition]:
    """Return what `production` inserts: the version's files are read, checked and copied once."""
    with django_db_blocker.unblock(), transaction.atomic():
        version, _ = version_register(folder=PRETRAINED)
        version_promote(version=version, by=None, reason="test")
        rows = ModelVersion.objects.get(), StageTransition.objects.get()
        transaction.set_rollback(True)
    return rows


@pytest.fixture
def production(db: None, promoted: tuple[ModelVersion, StageTransition]) -> ModelVersion:
    """Put the version that comes with ChampiPy into production, and return it."""
    version, transition = copy.deepcopy(promoted)
    version.pk = transition.pk = None
    species = [Species(name=label) for label in version.labels]
    Species.objects.bulk_create(species, ignore_conflicts=True)
    version.save(force_insert=True)
    transition.model_version = version
    transition.save(force_insert=True)
    if sizes_and_times(files_of(version)) != sizes_and_times(PRETRAINED):
        version_register(folder=PRETRAINED)  # another test has changed the files
    version.refresh_from_db()
    return version


def sizes_and_times(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of each file by its name; both tell a changed file from its copy."""
    files = folder.iterdir() if folder.is_dir() else []
    return {each.name: (each.stat().st_size, each.stat().st_mtime_ns) for each in files}


@pytest.fixture
def lost_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the workers nothing, like a broker that loses every message about new rows."""
    for module in (dispatch, mushroom_observer_services):
        monkeypatch.setattr(module, "send_task", lambda *_, **__: True)


@pytest.fixture(scope="session", params=KINDS)
def object_store(request) -> Iterator[ObjectStore]:
    """Run each of two independent object stores in turn; they speak S3."""
    with running_store(request.param) as store:
        yield store


@pytest.fixture
def proxy(object_store: ObjectStore) -> Iterator[Proxy]:
    """Run a proxy before the object store, which can make it slow, failing or lying."""
    with running_proxy(object_store) as running:
        yield running


@pytest.fixture
def stored_files(
    request, object_store: ObjectStore, settings, monkeypatch, tmp_path: Path
) -> Iterator[StoredFiles]:
    """Have this process's files in the object store, through the proxy if the test has one.

    The home is empty.
    """
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    prefix, home = new_prefix(), tmp_path / "home"
    address = request.getfixturevalue("proxy").address if "proxy" in request.fixturenames else ""
    settings.CHAMPIPY_HOME, settings.MEDIA_ROOT = home, home / "media"
    url = object_store.url(prefix, address=address)
    settings.STORAGES = {**settings.STORAGES, **storages_of(url)}
    ObjectStorage._ask_after = 0.0
    yield StoredFiles(object_store, prefix, home)
    ObjectStorage._ask_after = 0.0


@pytest.fixture(scope="session")
def photo_server() -> Iterator[PhotoServer]:
    """Serve /drawn.jpg, and the real photos if there are any, on 127.0.0.1.

    The workers may fetch from this server's address, although it is private.
    """
    folders = [REAL_PHOTOS] if REAL_PHOTOS.is_dir() else []
    with PhotoServer(folders=folders, files={"drawn.jpg": drawn_photo(1)}) as server:
        yield server


@pytest.fixture
def fresh_turns() -> None:
    """Forget who asked Mushroom Observer when, and what it answered."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    for key in client.scan_iter("champipy:mushroom_observer:*"):
        client.delete(key)


@pytest.fixture
def mushroom_observer(
    settings, fresh_turns: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MushroomObserver]:
    """Put a replica of Mushroom Observer in its place, for this process, and skip the waiting.

    Requests may follow one another at once; tests of the pace set the gaps again.
    """
    monkeypatch.setattr(mushroom_observer_turns, "MIN_GAP_S", 0.01)
    monkeypatch.setattr(mushroom_observer_turns, "API_GAP_S", 0.02)
    with MushroomObserver(observations=20) as site:
        settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = site.url
        settings.CHAMPIPY_FETCH_ALLOW = settings.CHAMPIPY_FETCH_ALLOW | {site.address}
        yield site


@pytest.fixture(scope="session")
def mushroom_observer_of_workers() -> Iterator[MushroomObserver]:
    """Return the replica that the real workers ask, at the real pace. Tests share it."""
    with MushroomObserver(observations=50) as site:
        yield site


_started_workers: dict[str, subprocess.Popen] = {}


@pytest.fixture(autouse=True)
def _no_worker_scores_the_rows_of_this_test(request: pytest.FixtureRequest) -> None:
    """Wait until a worker has finished with the rows of the test before.

    A worker that is awake scores whatever waits, and so what a test means to score by itself.
    """
    marker = request.node.get_closest_marker("django_db")
    if not _started_workers or marker is None or not marker.kwargs.get("transaction"):
        return
    deadline = time.monotonic() + 3
    while valkey_client().exists("champipy:scoring_awake") or valkey_client().llen("inference"):
        if time.monotonic() > deadline:
            # A test took the workers' queues away, or its message: nobody is awake.
            stop_being_awake()
            break
        time.sleep(0.02)


@pytest.fixture(scope="session")
def workers(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    photo_server: PhotoServer,
    mushroom_observer_of_workers: MushroomObserver,
) -> Iterator[dict[str, subprocess.Popen]]:
    """Start the real workers `fetch`, `monitoring` and `inference` on the test database.

    Only for tests that commit (`django_db(transaction=True)`): workers see only committed rows.
    """
    with django_db_blocker.unblock():
        database = connection.settings_dict
        url = (
            f"postgres://{database['USER']}:{database['PASSWORD']}"
            f"@{database['HOST']}:{database['PORT']}/{database['NAME']}"
        )
    environment = os.environ | {
        "DATABASE_URL": url,
        "CHAMPIPY_FETCH_ALLOW": f"{photo_server.address},{mushroom_observer_of_workers.address}",
        "CHAMPIPY_MUSHROOM_OBSERVER_URL": mushroom_observer_of_workers.url,
        "CHAMPIPY_HOME": str(settings.CHAMPIPY_HOME),
        "CHAMPIPY_LOG_FORMAT": "json",
    }
    pools = {
        "fetch": ["-Q", "fetch", "-P", "threads", "-c", "20"],
        "monitoring": ["-Q", "monitoring", "-P", "threads", "-c", "4"],
        "inference": [
            *("-Q", "inference", "-P", "prefork", "-c", "1"),
            *("--max-memory-per-child", str(INFERENCE_MEMORY_KB)),
        ],
    }
    processes = _started_workers
    log_folder = Path(settings.CHAMPIPY_HOME) / "log"
    log_folder.mkdir(parents=True, exist_ok=True)
    for name, options in pools.items():
        command = [sys.executable, "-m", "celery", "-A", "champipy_site", "worker"]
        command += ["-n", f"{name}@test", "--without-gossip", "--without-mingle", *options]
        with (log_folder / f"test-{name}.log").open("wb") as log:
            processes[name] = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=log, stderr=log
            )
    deadline = time.monotonic() + 60
    while len(current_app.control.inspect(timeout=1).ping() or {}) < len(pools):
        assert time.monotonic() < deadline, f"the workers do not answer: see {log_folder}"
    yield processes
    for process in processes.values():
        process.terminate()
    for process in processes.values():
        process.wait(timeout=30)
