"""Best score and species of inferences in columns of their own; indexes for long tables.

Not atomic, so that nothing is locked for long: rows are filled in by portions, and indexes are
built while the tables are in use. Every step may run again after it was cut off.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

PORTION = 5000
FILL = """
UPDATE predictions_inference AS inference SET best_score = best.score, best_species = best.label
FROM (
    SELECT scored.id, ranked.score, ranked.label
    FROM predictions_inference AS scored
    JOIN mlmodels_modelversion AS version ON version.id = scored.model_version_id,
    LATERAL (
        SELECT pair.label, pair.score::float AS score
        FROM ROWS FROM (
            jsonb_array_elements_text(version.labels), jsonb_array_elements_text(scored.scores)
        ) WITH ORDINALITY AS pair(label, score, position)
        ORDER BY pair.score::float DESC, position LIMIT 1
    ) AS ranked
    WHERE scored.id > %(after)s AND scored.id <= %(last)s AND scored.best_score IS NULL
) AS best
WHERE best.id = inference.id
"""


def fill_in_best(apps, schema_editor):
    """Copy the best score and its species out of the JSON, PORTION rows at a time."""
    ids = apps.get_model("predictions", "Inference").objects.order_by("id").values_list("id", flat=True)
    after = 0
    with schema_editor.connection.cursor() as cursor:
        while portion := list(ids.filter(id__gt=after)[:PORTION]):
            cursor.execute(FILL, {"after": after, "last": portion[-1]})
            after = portion[-1]


def _add_column(name, sql_type, field):
    return migrations.SeparateDatabaseAndState(
        database_operations=[
            migrations.RunSQL(
                f"ALTER TABLE predictions_inference ADD COLUMN IF NOT EXISTS {name} {sql_type}",
                f"ALTER TABLE predictions_inference DROP COLUMN IF EXISTS {name}",
            )
        ],
        state_operations=[migrations.AddField("inference", name, field)],
    )


def _add_index(model, index):
    """Build an index anew: one that was cut off is left behind invalid."""
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}"
    return [migrations.RunSQL(drop, migrations.RunSQL.noop), AddIndexConcurrently(model, index)]


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("predictions", "0004_fair_shares"),
    ]

    operations = [
        migrations.AlterField(
            "photo",
            "file",
            models.FileField(
                max_length=200,
                blank=True,
                upload_to="",
                help_text="Empty: its bytes were deleted; the row stays for the answers that name it.",
            ),
        ),
        _add_column("best_score", "double precision", models.FloatField(null=True)),
        _add_column("best_species", "varchar(100)", models.CharField(max_length=100, null=True)),
        migrations.RunPython(fill_in_best, migrations.RunPython.noop),
        migrations.AlterField(
            "inference", "best_score", models.FloatField(help_text="The highest of the scores.")
        ),
        migrations.AlterField(
            "inference",
            "best_species",
            models.CharField(max_length=100, help_text="Name of the species with that score."),
        ),
        *_add_index(
            "inference", models.Index(fields=["best_score"], name="inferences_by_best_score")
        ),
        *_add_index(
            "inference", models.Index(fields=["best_species"], name="inferences_by_best_species")
        ),
        *_add_index("photosource", models.Index(fields=["fetched_at"], name="sources_by_time")),
        *_add_index(
            "prediction",
            models.Index(fields=["created_at"], include=["status"], name="predictions_by_time"),
        ),
        *_add_index(
            "prediction",
            models.Index(
                fields=["sha256"], opclasses=["varchar_pattern_ops"], name="predictions_by_sha256"
            ),
        ),
        *_add_index(
            "prediction",
            models.Index(
                fields=["id"], condition=Q(status="done", reused=False), name="scored_predictions"
            ),
        ),
        *_add_index(
            "prediction",
            models.Index(
                fields=["id"],
                condition=Q(status="pending")
                | Q(error_code__in=("no_active_model", "prediction_failed")),
                name="unanswered_predictions",
            ),
        ),
    ]
