from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0014_licensed_photos"),
    ]

    operations = [
        migrations.AddField(
            model_name="prediction",
            name="request_id",
            field=models.CharField(
                blank=True, default="", help_text="X-Request-Id of the request that made it.", max_length=128
            ),
            preserve_default=False,
        ),
    ]
