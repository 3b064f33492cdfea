"""Indexes for the filters of long tables. Not atomic: they are built while these are in use."""

from django.db import migrations, models
from django.db.models import Q

from common.migrations import BuildIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("predictions", "0020_trace_parent"),
    ]

    operations = [
        BuildIndex(
            "photo", models.Index(fields=["label_source", "-id"], name="photos_by_label_source")
        ),
        BuildIndex(
            "photo",
            models.Index(fields=["-id"], condition=Q(excluded=True), name="excluded_photos"),
        ),
        BuildIndex(
            "prediction",
            models.Index(fields=["-id"], condition=Q(status="failed"), name="failed_predictions"),
        ),
        BuildIndex(
            "prediction",
            models.Index(
                fields=["user", "-id"], condition=Q(status="failed"), name="failed_of_a_user"
            ),
        ),
        BuildIndex(
            "prediction",
            models.Index(
                fields=["error_code", "-id"], condition=Q(status="failed"), name="failures_by_code"
            ),
        ),
    ]
