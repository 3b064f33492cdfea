"""Tests the database, and the answers while it is unavailable."""

from collections.abc import Iterator

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.signals import pre_migrate
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User


@pytest.mark.django_db
def test_database_is_postgresql_and_migrated() -> None:
    assert connection.vendor == "postgresql"
    assert "predictions_prediction" in connection.introspection.table_names()


@pytest.mark.django_db
def test_dbconnex_measures_the_database(nobody: APIClient) -> None:
    response = nobody.get("/api/v1/dbconnex")
    assert response.status_code == 200
    assert response.json()["connected"] is True
    assert response.json()["latency_ms"] > 0


@pytest.fixture
def database_unavailable(db: None, unused_tcp_port: int) -> Iterator[None]:
    port = connection.settings_dict["PORT"]
    connection.settings_dict["PORT"] = unused_tcp_port
    yield
    connection.settings_dict["PORT"] = port


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_dbconnex_answers_503_when_the_database_is_unavailable(
    nobody: APIClient, database_unavailable: None
) -> None:
    response = nobody.get("/api/v1/dbconnex")
    assert response.status_code == 503
    assert response.json() == {"connected": False}


def test_dbconnex_gives_up_on_a_database_that_hangs(nobody: APIClient, db: None) -> None:
    """The server accepts the connection but sends nothing, as a suspended PostgreSQL does."""
    import socket

    port = connection.settings_dict["PORT"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection.settings_dict["PORT"] = silent.getsockname()[1]
        try:
            response = nobody.get("/api/v1/dbconnex")
        finally:
            connection.settings_dict["PORT"] = port
    assert response.status_code == 503


def test_status_needs_no_database(nobody: APIClient, database_unavailable: None) -> None:
    response = nobody.get("/api/v1/status")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert set(response.json()) == {"status", "version", "model"}


@pytest.mark.django_db(transaction=True)
def test_status_names_the_model_in_production(nobody: APIClient, production) -> None:
    assert nobody.get("/api/v1/status").json()["model"] == {
        "name": production.name,
        "version": production.version,
        "stage": "Production",
    }


@pytest.mark.django_db(transaction=True)
def test_ended_query_is_told_from_an_unavailable_database(alice: APIClient) -> None:
    """Another connection holds the table, so that the query waits until PostgreSQL ends it."""
    parameters = connection.get_connection_params() | {"cursor_factory": None}
    blocker = psycopg2.connect(**parameters)
    try:
        blocker.cursor().execute("LOCK TABLE predictions_prediction")
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 300")
        response = alice.get("/api/v1/predictions")
    finally:
        blocker.close()
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
    assert response.status_code == 503
    assert response.json()["type"] == "server_error"
    assert [error["code"] for error in response.json()["errors"]] == ["query_timeout"]
    assert alice.get("/api/v1/predictions").status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_page_of_the_admin_that_takes_too_long_says_what_to_do(
    users: dict[str, User], method: str
) -> None:
    admin = Client(raise_request_exception=False)
    admin.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    parameters = connection.get_connection_params() | {"cursor_factory": None}
    blocker = psycopg2.connect(**parameters)
    try:
        blocker.cursor().execute("LOCK TABLE predictions_prediction")
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 300")
        response = getattr(admin, method)("/admin/predictions/prediction/")
    finally:
        blocker.close()
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    page = response.content.decode()
    assert "This page took too long" in page
    assert ("You sent a change" in page) == (method == "post")
    assert admin.get("/admin/predictions/prediction/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_the_admin_says_that_the_database_does_not_answer(unused_tcp_port: int) -> None:
    browser = Client(raise_request_exception=False)
    browser.cookies["sessionid"] = 32 * "x"
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = unused_tcp_port
    try:
        response = browser.get("/admin/")
    finally:
        connection.settings_dict["PORT"] = port
    assert response.status_code == 503
    assert "The database does not answer" in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_migrations_have_no_time_limit() -> None:
    limits = []

    def record(**kwargs) -> None:
        limits.append(time_limit())

    before = time_limit()
    pre_migrate.connect(record)
    try:
        call_command("migrate", verbosity=0)
    finally:
        pre_migrate.disconnect(record)
    assert set(limits) == {"0"}
    assert (before, time_limit()) == ("30s", "30s")


def time_limit() -> str:
    """Return how long a statement of this connection may take."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return cursor.fetchone()[0]
