"""Tests ChampiPy behind a real PgBouncer that pools transactions."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client

from champipy_site.stack.postgresql import connection_parameters
from champipy_site.stack.servers import given_urls
from champipy_site.stack.state import StackError
from common.database_checks import sessions
from common.sessions import DIRECT, SessionLock, direct_connection, is_pooled, past_the_pooler
from tests.support.paths import PROJECT
from tests.support.pooler import SESSIONS, pooled_url, pooler
from tests.support.stack import empty_stack


@pytest.fixture
def pooler_port(transactional_db: None) -> Iterator[int]:
    with pooler(connection.settings_dict) as port:
        yield port


@pytest.fixture
def pooled(pooler_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this process reach the tests' database as the settings do with DATABASE_DIRECT_URL."""
    before = connections["default"]
    before.close()
    monkeypatch.setitem(connections.settings, DIRECT, before.settings_dict)
    through = before.copy()
    through.settings_dict |= {"PORT": pooler_port, "HOST": "127.0.0.1"}
    through.settings_dict |= {"OPTIONS": {}, "DISABLE_SERVER_SIDE_CURSORS": True}
    connections["default"] = through
    use_all_sessions(through)
    yield
    through.close()
    connections["default"] = before


def use_all_sessions(through: BaseDatabaseWrapper) -> None:
    """Have the pooler open its sessions; then it gives each transaction another one in turn."""
    others = [through.copy() for _ in range(SESSIONS)]
    for each in others:
        each.cursor().execute("BEGIN")
    for each in others:
        each.cursor().execute("COMMIT")
        each.close()


@pytest.fixture
def empty_database(transactional_db: None) -> Iterator[str]:
    """Yield the name of a new database at the tests' server."""
    name = "champipy_pooled"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name}")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_lock_has_one_holder_though_transactions_share_sessions(pooled) -> None:
    lock, other = SessionLock(1), SessionLock(1)
    assert [lock.acquire(), other.acquire()] == [True, False]
    assert [lock.acquire() for _ in range(2 * SESSIONS)] == [True] * 2 * SESSIONS
    lock.release()
    assert other.acquire()
    other.release()


def test_past_the_pooler_queries_keep_one_session(pooled) -> None:
    def processes() -> set[int]:
        pids = set()
        for _ in range(2 * SESSIONS):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                pids |= {cursor.fetchone()[0]}
        return pids

    with past_the_pooler():
        [own] = processes()
    assert len(processes() - {own}) == SESSIONS


def test_what_goes_past_the_pooler_in_a_test_reaches_the_database_of_tests(db, monkeypatch) -> None:
    of_tests = connection.settings_dict["NAME"]
    configured = {"NAME": of_tests.removeprefix("test_")}
    monkeypatch.setitem(connections.settings, DIRECT, connection.settings_dict | configured)
    assert direct_connection().settings_dict["NAME"] == of_tests


def test_checks_tell_a_pooler_from_postgresql(pooled, monkeypatch) -> None:
    assert [check.id for check in sessions(None, ["default"])] == ["champipy.W008"]
    monkeypatch.delitem(connections.settings, DIRECT)
    assert not is_pooled()
    assert [check.id for check in sessions(None, ["default"])] == ["champipy.W007"]


def test_readiness_gives_up_on_a_query_that_hangs_behind_the_pooler(pooled) -> None:
    """The pooler takes the connection, and PostgreSQL the query: only our own deadline helps."""
    with past_the_pooler():
        blocker = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
    with closing(blocker):
        blocker.cursor().execute("LOCK TABLE mlmodels_modelversion")
        assert b"does not answer" in Client().get("/readyz").content
    assert b"no model version" in Client().get("/readyz").content


def environment(server: dict, port: int, name: str) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": pooled_url(server, port, name),
        "DATABASE_DIRECT_URL": pooled_url(server, server["PORT"], name),
        "CHAMPIPY_HOME": str(settings.CHAMPIPY_HOME),
    }


def manage(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_migrations_go_past_the_pooler_and_give_the_role_its_limit(
    pooler_port: int, empty_database: str
) -> None:
    variables = environment(connection.settings_dict, pooler_port, empty_database)
    for _ in range(2):
        done = manage(variables, "migrate", "--verbosity", "0")
        assert done.returncode == 0, done.stderr
    checked = manage(variables, "check", "--database", "default")
    assert checked.returncode == 0
    assert "champipy.W007" not in checked.stderr
    assert "champipy.W008" not in checked.stderr
    url = variables["DATABASE_URL"]
    with closing(psycopg2.connect(**connection_parameters(url))) as direct:
        cursor = direct.cursor()
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("30s",)
    without = manage(variables | {"DATABASE_DIRECT_URL": ""}, "showmigrations")
    assert without.returncode != 0
    assert "unsupported startup parameter" in without.stderr


@pytest.mark.slow
def test_two_that_prepare_one_database_at_the_same_time_both_succeed(
    pooler_port: int, empty_database: str
) -> None:
    variables = environment(connection.settings_dict, pooler_port, empty_database)
    command = [sys.executable, "-m", "champipy_site.stack.prepare"]
    started = [
        subprocess.Popen(
            command, cwd=PROJECT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(2)
    ]
    told = [process.communicate()[0].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    waited = ["Waiting for another process" in text for text in told]
    assert sorted(waited) == [False, True], told
    assert sum("is put into production" in text for text in told) == 1, told


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_whole_stack_answers_through_the_pooler(
    pooler_port: int, empty_database: str, tmp_path: Path
) -> None:
    server = connection.settings_dict
    variables = environment(server, pooler_port, empty_database)
    urls = {name: variables[name] for name in ("DATABASE_URL", "DATABASE_DIRECT_URL")}
    with empty_stack(**urls) as stack:
        started = stack.up()
        assert started.returncode == 0, started.stdout + started.stderr
        photos = [str(PROJECT / "docs" / "sample.jpg")] * 5
        answered = stack("predict", *photos, "--json")
        assert answered.returncode == 0, answered.stderr
        answers = [json.loads(line) for line in answered.stdout.splitlines()]
        assert [answer["status"] for answer in answers] == ["done"] * 5
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                "WHERE datname = %s AND locktype = 'advisory' AND granted",
                [empty_database],
            )
            assert cursor.fetchone() == (1,), "beat's"
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [empty_database]
            )
            assert cursor.fetchone()[0] <= SESSIONS + 1
        backup = stack("backup", str(tmp_path / "backup.tar"))
        assert backup.returncode == 0, backup.stderr


def test_a_direct_url_alone_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgres://example.org/champipy")
    with pytest.raises(StackError, match="DATABASE_DIRECT_URL is set, but DATABASE_URL is not"):
        given_urls()
