from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mlmodels", "0006_help_texts")]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="holder",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The processes that hold it, or held it last.",
                max_length=100,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="validation_is_new",
            field=models.BooleanField(
                help_text=(
                    "False: the parent was trained on the validation photos. None: not known."
                ),
                null=True,
            ),
        ),
    ]
