import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("predictions", "0022_judged_predictions"),
        ("supervision", "0016_evaluation_others"),
    ]

    operations = [
        migrations.CreateModel(
            name="Disagreement",
            fields=[
                (
                    "photo",
                    models.OneToOneField(
                        on_delete=models.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="predictions.photo",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Summary",
            fields=[
                ("name", models.CharField(max_length=50, primary_key=True, serialize=False)),
                ("value", models.JSONField()),
                (
                    "at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="When they were counted."
                    ),
                ),
            ],
            options={"verbose_name_plural": "summaries"},
        ),
    ]
