"""Indexes for the filters of observations. Not atomic: the table is in use meanwhile."""

from django.db import migrations, models
from django.db.models import Q

from common.migrations import BuildIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("observations", "0012_queue_plural"),
    ]

    operations = [
        BuildIndex(
            "observation",
            models.Index(fields=["-id"], condition=Q(status="failed"), name="failed_observations"),
        ),
        BuildIndex(
            "observation",
            models.Index(fields=["source", "-id"], name="observations_by_source"),
        ),
        BuildIndex(
            "observation",
            models.Index(fields=["user", "source", "-id"], name="finds_of_a_user_by_source"),
        ),
        BuildIndex(
            "observation",
            models.Index(
                fields=["decision", "-id"], condition=~Q(decision=""), name="finds_by_decision"
            ),
        ),
        BuildIndex(
            "observation",
            models.Index(
                fields=["user", "decision", "-id"],
                condition=~Q(decision=""),
                name="decisions_of_a_user",
            ),
        ),
    ]
