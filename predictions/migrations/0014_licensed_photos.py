"""An index of the photos that may be shown to anybody, built while photos are in use.

Not atomic. Every step may run again after it was cut off.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("predictions", "0013_similar_photos"),
    ]

    operations = [
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS licensed_photos", migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            "photo",
            models.Index(
                condition=models.Q(("licence", ""), _negated=True),
                fields=["label", "other_name"],
                name="licensed_photos",
            ),
        ),
    ]
