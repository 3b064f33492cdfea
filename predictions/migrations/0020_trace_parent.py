from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("predictions", "0019_messages"),
    ]

    operations = [
        migrations.AddField(
            model_name="prediction",
            name="trace_parent",
            field=models.CharField(blank=True, db_default="", default="", help_text="The span of that request, where traces are switched on.", max_length=55),
        ),
    ]
