"""Indexes for the queue and for what users decided. Not atomic: the table is in use meanwhile."""

from django.db import migrations, models
from django.db.models import Q

from common.migrations import BuildIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("observations", "0010_settled_by_dumps"),
    ]

    operations = [
        BuildIndex(
            "observation",
            models.Index(
                fields=["id"], condition=Q(source="queue", decision=""), name="undecided_finds"
            ),
        ),
        BuildIndex(
            "observation",
            models.Index(
                fields=["user", "-decided_at", "-id"],
                condition=Q(decided_at__isnull=False),
                name="decided_by_a_user",
            ),
        ),
    ]
