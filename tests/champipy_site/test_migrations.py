"""Tests that migrations can run while photos are being predicted, on tables of any length.

CONTRIBUTING.md says what a migration may do. Those of the releases until now are left alone.
"""

import re
import threading
import time

import pytest
from django.core.management import call_command
from django.db import connection, connections, migrations, models
from django.db.migrations.loader import MigrationLoader

from common.migrations import BuildIndex
from supervision.management.commands import migrate

RELEASED = {
    "accounts": "0004_language",
    "mlmodels": "0012_notes_and_tags",
    "observations": "0010_settled_by_dumps",
    "predictions": "0019_messages",
    "supervision": "0014_remove_evaluation_answers_json",
}
"""The last migration of each app that was not looked at."""
FORBIDDEN = {
    r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)": "use BuildIndex, and atomic = False",
    r"DROP INDEX (?!CONCURRENTLY)": "use RemoveIndexConcurrently, and atomic = False",
    r"ALTER COLUMN \S+ TYPE": "add another column, fill it in portions, drop this one a release on",
    r"SET NOT NULL": "validate a constraint that says so first",
    r"ADD CONSTRAINT (?!.*NOT VALID)": "use AddConstraintNotValid, then ValidateConstraint",
    r"ADD COLUMN (?!.*(NULL|DEFAULT)).*": "give it a db_default, or let it be null",
    r"ADD COLUMN (?!.*DEFAULT).*(?<!IS )NOT NULL": "give it a db_default",
    r"ADD COLUMN .*\b(UNIQUE|REFERENCES)\b": "add it without, then the index, then the constraint",
    r"^(UPDATE|DELETE)\b": "in portions, by RunPython, and atomic = False",
    r"LOCK TABLE|VACUUM FULL|CLUSTER|REINDEX (?!.*CONCURRENTLY)": "they lock the table",
}
"""Statements that lock a table for as long as it is large: patterns, and what to do instead."""


def forbidden(statements: list[str]) -> list[str]:
    """Return what is wrong with a migration's statements.

    Tables that the same migration creates are empty, and may be changed as one likes.
    """
    found, own = [], set()
    for statement in statements:
        created = re.match(r'CREATE TABLE "(\w+)"', statement)
        if created:
            own.add(created[1])
        elif not any(f'"{table}"' in statement for table in own):
            found += [
                f"{statement}: {instead}"
                for pattern, instead in FORBIDDEN.items()
                if re.search(pattern, statement, re.IGNORECASE)
            ]
    return found


def statements_of(migration: migrations.Migration, loader: MigrationLoader) -> list[str]:
    key = (migration.app_label, migration.name)
    state = loader.project_state(loader.graph.nodes[key].dependencies, at_end=True)
    with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        migration.apply(state, editor, collect_sql=True)
    lines = [line for line in editor.collected_sql if not line.startswith("--")]
    return [each.strip() for each in "\n".join(lines).split(";\n") if each.strip()]


def invented(operation: migrations.operations.base.Operation) -> migrations.Migration:
    """Return a migration of `mlmodels` with one operation, as if it came next."""

    class Invented(migrations.Migration):
        atomic = False
        dependencies = [("mlmodels", RELEASED["mlmodels"])]
        operations = [operation]

    return Invented("0999_test", "mlmodels")


@pytest.mark.django_db(transaction=True)  # some migrations refuse to be in a transaction
def test_new_migrations_lock_no_table_for_long() -> None:
    loader = MigrationLoader(connection)
    wrong = {}
    for app, last in RELEASED.items():
        new = [name for label, name in loader.disk_migrations if label == app and name > last]
        for name in sorted(new):
            migration = loader.disk_migrations[app, name]
            found = forbidden(statements_of(migration, loader))
            if migration.atomic and any(
                isinstance(each, migrations.RunPython) for each in migration.operations
            ):
                found.append("RunPython in one transaction: fill in portions, and atomic = False")
            if found:
                wrong[f"{app}.{name}"] = found
    assert wrong == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("operation", "is_allowed"),
    [
        (migrations.AddField("species", "a", models.IntegerField(null=True)), True),
        (migrations.AddField("species", "a", models.IntegerField(db_default=0)), True),
        (migrations.AddField("species", "a", models.IntegerField(null=True, unique=True)), False),
        (migrations.AddField("species", "a", models.IntegerField(null=True, db_index=True)), False),
        (
            migrations.AddField(
                "species",
                "a",
                models.ForeignKey("mlmodels.ModelVersion", models.CASCADE, null=True),
            ),
            False,
        ),
        (migrations.AlterField("species", "name", models.TextField()), False),
        (migrations.AddIndex("species", models.Index(fields=["name"], name="by_name")), False),
        (BuildIndex("species", models.Index(fields=["name"], name="by_name")), True),
        (
            migrations.AddConstraint(
                "species", models.CheckConstraint(condition=~models.Q(name=""), name="a_name")
            ),
            False,
        ),
        (migrations.RunSQL("UPDATE mlmodels_species SET name = name"), False),
        (migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS something"), True),
        (migrations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True))]), True),
    ],
    ids=lambda value: getattr(value, "describe", lambda: value)(),
)
def test_what_locks_a_table_is_found(
    operation: migrations.operations.base.Operation, is_allowed: bool
) -> None:
    loader = MigrationLoader(connection)
    migration = invented(operation)
    loader.graph.add_node(("mlmodels", migration.name), migration)
    assert (forbidden(statements_of(migration, loader)) == []) == is_allowed


@pytest.mark.django_db(transaction=True)
def test_an_index_that_was_cut_off_is_built_anew() -> None:
    index = models.Index(fields=["name"], name="species_by_name")
    loader = MigrationLoader(connection)
    migration = invented(BuildIndex("species", index))
    before = loader.project_state([("mlmodels", RELEASED["mlmodels"])], at_end=True)
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX species_by_name ON mlmodels_species (id)")
        cursor.execute("SET lock_timeout = '3s'")
    try:
        with connection.schema_editor(atomic=False) as editor:
            migration.apply(before, editor)
        with connection.cursor() as cursor:
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'species_by_name'")
            assert "(name)" in cursor.fetchall()[0][0]
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchall() == [("3s",)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX species_by_name")
            cursor.execute("RESET lock_timeout")


@pytest.mark.django_db(transaction=True)
def test_a_migration_gives_way_to_predictions_and_tries_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A transaction that reads the table for long does not make others wait behind a migration."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 200)
    monkeypatch.setattr(migrate, "PAUSE_S", 0.2)
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with connections["default"].cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT count(*) FROM mlmodels_modelversion")
                held.set()
                let_go.wait(30)
                cursor.execute("ROLLBACK")
        finally:
            connections.close_all()

    call_command("migrate", "mlmodels", "0011_messages", verbosity=0)
    reader = threading.Thread(target=hold)
    reader.start()
    try:
        assert held.wait(30)
        migrating = threading.Thread(target=_migrate)
        migrating.start()
        while "in use" not in capsys.readouterr().out:
            assert migrating.is_alive()
            time.sleep(0.05)
    finally:
        let_go.set()
        reader.join()
        migrating.join()
    with connection.cursor() as cursor:
        cursor.execute("SELECT note FROM mlmodels_modelversion")


def _migrate() -> None:
    try:
        call_command("migrate", verbosity=0)
    finally:
        connections.close_all()
