from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("supervision", "0010_better_version"),
    ]

    operations = [
        migrations.AddField(
            model_name="evaluation",
            name="scopes",
            field=models.JSONField(
                default=dict,
                help_text="By the photo's SHA-256, also of other species: how likely in scope, in percent.",
            ),
        ),
    ]
