"""Photos of other species. Nothing is locked for long: the next migration checks what is there.

The columns have defaults in the database, so that processes of the former release go on storing.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):

    dependencies = [
        ("predictions", "0005_best_and_indexes"),
    ]

    operations = [
        migrations.AddField(
            "photo",
            "is_other",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="It shows none of the species that models know.",
                verbose_name="other species",
            ),
        ),
        migrations.AddField(
            "photo",
            "other_name",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="As somebody gave it. The first word is the genus.",
                max_length=100,
                verbose_name="name of the other species",
            ),
        ),
        migrations.RemoveConstraint("photo", "a_split_photo_has_label_and_time"),
        AddConstraintNotValid(
            "photo",
            models.CheckConstraint(
                condition=Q(split="")
                | Q(label__isnull=False, split_at__isnull=False)
                | Q(is_other=True, split_at__isnull=False),
                name="a_split_photo_has_a_label_and_time",
            ),
        ),
        AddConstraintNotValid(
            "photo",
            models.CheckConstraint(
                condition=Q(is_other=False, other_name="") | Q(is_other=True, label__isnull=True),
                name="an_other_photo_has_no_species",
            ),
        ),
    ]
