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
from django.db import connection, transaction
from django.test import Client
from django.utils import translation
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import logins_seed
from champipy_site.stack.services import INFERENCE_MEMORY_KB
from mlmodels.models import ModelVersion
from mlmodels.services import PRETRAINED, version_promote, version_register
from observations import mushroom_observer_services
from predictions import dispatch, mushroom_observer_turns
from predictions.incoming import incoming_path
from tests.support.api import client_of
from tests.support.mushroom_observer import MushroomObserver
from tests.support.paths import PROJECT, REAL_PHOTOS
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast tests first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


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


KEPT_TABLES = {"django_content_type", "auth_permission"}


@pytest.fixture(scope="session", autouse=True)
def _flush_quickly() -> Iterator[None]:
    """Keep content types and permissions where a test's rows are flushed.

    Nothing in them changes; to make them again takes Django a fifth of a second for each test.
    """

    def sql_flush(style: Any, connection: Any, **options: Any) -> list[str]:
        tables = connection.introspection.django_table_names(only_existing=True)
        return connection.ops.sql_flush(style, sorted({*tables} - KEPT_TABLES), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", sql_flush)
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


@pytest.fixture
def production(db: None) -> ModelVersion:
    """Put the version that comes with ChampiPy into production, and return it."""
    version, _ = version_register(folder=PRETRAINED)
    version_promote(version=version, by=None, reason="test")
    version.refresh_from_db()
    return version


@pytest.fixture
def lost_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the workers nothing, like a broker that loses every message about new rows."""
    for module in (dispatch, mushroom_observer_services):
        monkeypatch.setattr(module, "send_task", lambda *_, **__: True)


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
    }
    pools = {
        "fetch": ["-Q", "fetch", "-P", "threads", "-c", "20"],
        "monitoring": ["-Q", "monitoring", "-P", "threads", "-c", "4"],
        "inference": [
            *("-Q", "inference", "-P", "prefork", "-c", "1"),
            *("--max-memory-per-child", str(INFERENCE_MEMORY_KB)),
        ],
    }
    processes = {}
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
