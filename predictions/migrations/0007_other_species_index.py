"""Checks the constraints of the previous migration and builds an index while photos are in use.

Not atomic. Every step may run again after it was cut off.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("predictions", "0006_other_species"),
    ]

    operations = [
        ValidateConstraint("photo", "a_split_photo_has_a_label_and_time"),
        ValidateConstraint("photo", "an_other_photo_has_no_species"),
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS other_photos", migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            "photo",
            models.Index(
                condition=Q(is_other=True), fields=["split", "other_name"], name="other_photos"
            ),
        ),
    ]
