"""Indexes of the predictions for which a name was proposed. Not atomic: the table is in use."""

from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.fields.json import KT

from common.migrations import BuildIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("predictions", "0021_indexes_of_failures_and_labels"),
    ]

    operations = [
        BuildIndex(
            "prediction",
            models.Index(
                fields=["user", "proposed_species", "-id"],
                condition=~Q(proposed=""),
                name="judged_predictions",
            ),
        ),
        BuildIndex(
            "prediction",
            models.Index(
                F("user"),
                KT("verdict__verdict"),
                F("id").desc(),
                condition=~Q(proposed=""),
                name="predictions_by_verdict",
            ),
        ),
    ]
