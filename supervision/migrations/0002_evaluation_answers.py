from django.db import migrations, models


def forget_evaluations(apps, schema_editor):
    """Those made before lack the answers photo by photo; they are computed again when needed."""
    apps.get_model("supervision", "Evaluation").objects.all().delete()


class Migration(migrations.Migration):

    dependencies = [
        ("supervision", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(forget_evaluations, migrations.RunPython.noop),
        migrations.AddField(
            model_name="evaluation",
            name="answers",
            field=models.JSONField(
                default=dict,
                help_text="By the photo's SHA-256: the true species, the answer, its score in percent.",
            ),
        ),
        migrations.AddField(
            model_name="evaluation",
            name="ms_per_photo",
            field=models.FloatField(
                help_text="The engine alone, on a few photos, in the process that evaluated.",
                null=True,
            ),
        ),
    ]
