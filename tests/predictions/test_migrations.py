"""The migration that fills columns and builds indexes, also after it was cut off."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

BEFORE = [("predictions", "0004_fair_shares")]
AFTER = [("predictions", "0005_best_and_indexes")]


@pytest.fixture
def latest(transactional_db: None):
    """Bring all tables back to the latest migration, and empty, after the test."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def migrated(target):
    executor = MigrationExecutor(connection)
    executor.migrate(target)
    return MigrationExecutor(connection).loader.project_state(target).apps


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid "
            "WHERE indisvalid AND indrelid::regclass::text LIKE 'predictions_%'"
        )
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.usefixtures("latest")
def test_best_scores_are_filled_in_and_a_migration_that_was_cut_off_goes_on() -> None:
    apps = migrated(BEFORE)
    before = indexes()
    version = apps.get_model("mlmodels", "ModelVersion").objects.create(
        name="VGG16", version=7, labels=["a", "b", "c"], input_size=9, preprocessing="p",
        temperature=1, files={}, metrics={}, card={},
    )  # fmt: skip
    scores = {0: [20.5, 69.25, 10.25], 1: [9.5, 0.5, 90], 2: [40, 40, 20], 3: [100, 0, 0]}
    for number, each in scores.items():
        photo = apps.get_model("predictions", "Photo").objects.create(
            sha256=str(number), file="f", bytes=1, width=1, height=1, perceptual_hash=0,
            created_at=timezone.now(),
        )  # fmt: skip
        apps.get_model("predictions", "Inference").objects.create(
            photo=photo, model_version=version, scores=each, duration_ms=1
        )
    with connection.cursor() as cursor:  # as if it had been killed after some of its steps
        cursor.execute("ALTER TABLE predictions_inference ADD COLUMN best_score double precision")
        cursor.execute("CREATE INDEX sources_by_time ON predictions_photosource (photo_id)")
    apps = migrated(AFTER)
    best = apps.get_model("predictions", "Inference").objects.order_by("id")
    assert list(best.values_list("best_species", "best_score")) == [
        ("b", 69.25), ("c", 90.0), ("a", 40.0), ("a", 100.0),
    ]  # fmt: skip
    assert indexes() - before == {
        *("inferences_by_best_score", "inferences_by_best_species", "sources_by_time"),
        *("predictions_by_time", "predictions_by_sha256", "scored_predictions"),
        "unanswered_predictions",
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'sources_by_time'")
        assert "(fetched_at)" in cursor.fetchone()[0]
