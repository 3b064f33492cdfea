"""Tells PostgreSQL which sources, statuses and decisions go together.

Of the queue's finds nearly all are decided, of others fewer. Without this it expects many undecided
ones in the queue, and reads the whole queue to find the few.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("observations", "0013_indexes_of_lists")]
    operations = [
        migrations.RunSQL(
            [
                "CREATE STATISTICS observations_decided (mcv) "
                "ON source, status, decision FROM observations_observation",
                "ANALYZE observations_observation",
            ],
            "DROP STATISTICS observations_decided",
        )
    ]
