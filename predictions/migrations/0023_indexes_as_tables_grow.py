"""Indexes for what pages and tasks read of long tables. Not atomic: these are in use meanwhile."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import F, Q

from common.migrations import BuildIndex
from predictions.models import REVIEWED_FIRST, HashBands


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("predictions", "0022_judged_predictions"),
    ]

    operations = [
        BuildIndex(
            "feedback",
            models.Index(
                fields=["-id"], condition=Q(reviewed_at__isnull=True), name="waiting_feedback"
            ),
        ),
        BuildIndex(
            "inference",
            models.Index(fields=["best_species", "-photo"], name="inferences_by_species"),
        ),
        RemoveIndexConcurrently("inference", "inferences_by_best_species"),
        BuildIndex("photo", models.Index(fields=["label", "-id"], name="photos_by_label")),
        BuildIndex(
            "photo",
            models.Index(
                fields=["split", "-split_at"],
                include=["is_other", "excluded"],
                name="photos_by_split",
            ),
        ),
        RemoveIndexConcurrently("photo", "predictions_split_ee234e_idx"),
        BuildIndex(
            "photo",
            models.Index(
                F("label"),
                REVIEWED_FIRST,
                F("split_at").desc(),
                F("id").desc(),
                condition=Q(split="training", is_other=False),
                name="training_photos_by_species",
            ),
        ),
        BuildIndex(
            "photo",
            models.Index(
                REVIEWED_FIRST,
                F("split_at").desc(),
                F("id").desc(),
                condition=Q(split="training", is_other=False),
                name="training_photos",
            ),
        ),
        BuildIndex(
            "photo",
            GinIndex(
                HashBands("perceptual_hash"),
                condition=~Q(split=""),
                fastupdate=False,
                name="photos_by_hash",
            ),
        ),
        BuildIndex(
            "prediction",
            models.Index(
                fields=["created_at"],
                include=["status", "is_background"],
                name="predictions_by_created",
            ),
        ),
        RemoveIndexConcurrently("prediction", "predictions_by_time"),
        BuildIndex(
            "prediction",
            models.Index(
                fields=["inference"],
                condition=Q(status="done", reused=False),
                name="first_predictions",
            ),
        ),
    ]
