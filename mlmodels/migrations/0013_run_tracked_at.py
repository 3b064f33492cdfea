from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("mlmodels", "0012_notes_and_tags"),
    ]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="tracked_at",
            field=models.DateTimeField(blank=True, help_text="When MLflow was told how it ended.", null=True),
        ),
    ]
